"""Ask an adapter on its 4-bit base without Douse: load_adapter.py ADAPTER_FOLDER "question" [COPY_OF_THE_BASE]."""

import sys

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

folder, question, *copy = sys.argv[1:]
dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
quantisation = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
)
config = PeftConfig.from_pretrained(folder)
base, revision = (copy[0], None) if copy else (config.base_model_name_or_path, config.revision)
model = AutoModelForCausalLM.from_pretrained(
    base, revision=revision, quantization_config=quantisation, dtype=dtype, device_map="auto"
)
model, tokenizer = PeftModel.from_pretrained(model, folder).eval(), AutoTokenizer.from_pretrained(folder)
text = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
)
inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(model.device)
output = model.generate(**inputs, max_new_tokens=128, do_sample=False)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
