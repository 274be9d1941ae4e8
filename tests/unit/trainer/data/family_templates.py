"""Chat templates with the rules of the model families, in words of our own."""

from __future__ import annotations

CHATML = """
{%- for m in messages -%}
{{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
LLAMA2 = """
{%- set system = '' -%}{%- set said = messages -%}
{%- if messages[0].role == 'system' -%}
{%- set system = '<<SYS>>\n' ~ messages[0].content ~ '\n<</SYS>>\n\n' -%}{%- set said = messages[1:] -%}
{%- endif -%}
{%- for m in said -%}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}{{- raise_exception('roles must take turns') -}}{%- endif -%}
{%- if m.role == 'user' -%}
{{- '<s>[INST] ' ~ (system if loop.first else '') ~ m.content.strip() ~ ' [/INST]' -}}
{%- else -%}{{- ' ' ~ m.content.strip() ~ ' </s>' -}}{%- endif -%}
{%- endfor -%}"""
LLAMA3 = """
{%- for m in messages -%}
{{- ('<|begin_of_text|>' if loop.first else '') ~ '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' -}}
{{- m.content | trim ~ '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}"""
LLAMA3_2 = """
{{- '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n' -}}
{{- 'Today: ' ~ strftime_now('%d %b %Y') ~ '\n\n' -}}
{%- set said = messages -%}
{%- if messages[0].role == 'system' -%}{{- messages[0].content | trim -}}{%- set said = messages[1:] -%}{%- endif -%}
{{- '<|eot_id|>' -}}
{%- for m in said -%}
{{- '<|start_header_id|>' ~ ('ipython' if m.role == 'tool' else m.role) ~ '<|end_header_id|>\n\n' -}}
{%- if tools and loop.first -%}{{- 'Call one of these:\n' ~ tools[0] | tojson(indent=4) ~ '\n\n' -}}{%- endif -%}
{%- if m.tool_calls -%}
{{- '{"name": "' ~ m.tool_calls[0].function.name ~ '", "parameters": ' -}}
{{- m.tool_calls[0].function.arguments | tojson ~ '}' -}}
{%- elif m.role == 'tool' -%}{{- m.content | tojson -}}
{%- else -%}{{- m.content | trim -}}{%- endif -%}
{{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}"""
QWEN_SYSTEM = """
{%- if tools -%}
{{- '<|im_start|>system\n' ~ (messages[0].content ~ '\n\n' if messages[0].role == 'system' else '') ~ '<tools>\n' -}}
{%- for t in tools -%}{{- t | tojson ~ '\n' -}}{%- endfor -%}{{- '</tools><|im_end|>\n' -}}
{%- elif messages[0].role == 'system' -%}{{- '<|im_start|>system\n' ~ messages[0].content ~ '<|im_end|>\n' -}}
{%- else -%}DEFAULT{%- endif -%}"""
HERMES_CALLS = """
{%- for c in m.tool_calls or [] -%}
{{- ('\n' if m.content or not loop.first else '') ~ '<tool_call>\n{"name": "' ~ c.function.name -}}
{{- '", "arguments": ' ~ c.function.arguments | tojson ~ '}\n</tool_call>' -}}
{%- endfor -%}"""
TOOL_ANSWER = """
{%- elif m.role == 'tool' -%}
{{- '<|im_start|>user\n<tool_response>\n' ~ m.content ~ '\n</tool_response><|im_end|>\n' -}}"""
QWEN2_5 = (
    QWEN_SYSTEM.replace("DEFAULT", "{{- '<|im_start|>system\nYou are an assistant.<|im_end|>\n' -}}")
    + """
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{{- '<|im_start|>assistant\n' ~ m.content -}}"""
    + HERMES_CALLS
    + """{{- '<|im_end|>\n' -}}"""
    + TOOL_ANSWER
    + """
{%- elif m.role == 'user' or not loop.first -%}
{{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
)
LAST_QUESTION = """
{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}"""
THOUGHT_AND_WORDS = """
{%- set said = m.content -%}{%- set thought = '' -%}
{%- if m.reasoning_content is string -%}{%- set thought = m.reasoning_content -%}
{%- elif '</think>' in m.content -%}
{%- set said = m.content.split('</think>')[-1].lstrip('\n') -%}
{%- set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') -%}
{%- endif -%}"""


def qwen3(*, calls: str, prompt: str, last_only: str) -> str:
    return (
        QWEN_SYSTEM.replace("DEFAULT", "")
        + LAST_QUESTION
        + """
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}"""
        + THOUGHT_AND_WORDS
        + """{{- '<|im_start|>assistant\n' -}}
{%- if loop.index0 > ns.last and ("""
        + last_only
        + """) -%}{{- '<think>\n' ~ thought.strip('\n') ~ '\n</think>\n\n' -}}{%- endif -%}
{{- said -}}"""
        + calls
        + """{{- '<|im_end|>\n' -}}"""
        + TOOL_ANSWER
        + """
{%- elif m.role == 'user' -%}{{- '<|im_start|>user\n' ~ m.content ~ '<|im_end|>\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n"""
        + prompt
        + """' -}}{%- endif -%}"""
    )


XML_CALLS = """
{%- for c in m.tool_calls or [] -%}
{{- ('\n' if m.content or not loop.first else '') ~ '<tool_call>\n<function=' ~ c.function.name ~ '>\n' -}}
{%- for key, value in c.function.arguments | items -%}
{{- '<parameter=' ~ key ~ '>\n' ~ (value if value is string else value | tojson) ~ '\n</parameter>\n' -}}
{%- endfor -%}{{- '</function>\n</tool_call>' -}}
{%- endfor -%}"""
PHI3 = """
{%- for m in messages -%}{{- '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- else -%}{{- eos_token -}}{%- endif -%}"""
PHI4_MINI = """
{%- for m in messages -%}
{{- '<|' ~ m.role ~ '|>' ~ m.content ~ ('<|tool|>' ~ m.tools ~ '<|/tool|>' if m.tools else '') ~ '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- else -%}{{- eos_token -}}{%- endif -%}"""
GPT_OSS = """
{{- '<|start|>system<|message|>Current date: ' ~ strftime_now('%Y-%m-%d') ~ '<|end|>' -}}
{%- if tools or messages[0].role == 'system' -%}
{{- '<|start|>developer<|message|>' ~ (messages[0].content if messages[0].role == 'system' else '') -}}
{%- for t in tools or [] -%}{{- 'type ' ~ t.function.name ~ ' = (_: any) => any;' -}}{%- endfor -%}{{- '<|end|>' -}}
{%- endif -%}
{%- set ns = namespace(tool='') -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- if m.tool_calls -%}
{%- if m.thinking -%}{{- '<|start|>assistant<|channel|>analysis<|message|>' ~ m.thinking ~ '<|end|>' -}}{%- endif -%}
{%- set ns.tool = m.tool_calls[0].function.name -%}
{{- '<|start|>assistant to=functions.' ~ ns.tool ~ '<|channel|>commentary json<|message|>' -}}
{{- m.tool_calls[0].function.arguments | tojson ~ '<|call|>' -}}
{%- else -%}
{%- if m.thinking and loop.last -%}
{{- '<|start|>assistant<|channel|>analysis<|message|>' ~ m.thinking ~ '<|end|>' -}}
{%- endif -%}
{{- '<|start|>assistant<|channel|>final<|message|>' ~ m.content -}}
{{- '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' -}}
{%- endif -%}
{%- elif m.role == 'tool' -%}
{{- '<|start|>functions.' ~ ns.tool ~ ' to=assistant<|channel|>commentary<|message|>' ~ m.content | tojson -}}
{{- '<|end|>' -}}
{%- elif m.role == 'user' -%}{{- '<|start|>user<|message|>' ~ m.content ~ '<|end|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start|>assistant' -}}{%- endif -%}"""
DEEPSEEK_CALLS = """
{%- for c in m.tool_calls -%}
{{- '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>' ~ c.function.name ~ '\n```json\n' -}}
{{- ARGUMENTS ~ '\n```<｜tool▁call▁end｜>' -}}
{%- endfor -%}{{- '<｜tool▁calls▁end｜>' ~ eos_token -}}"""


def deepseek(*, words: str, tools: str, arguments: str, prompt: str) -> str:
    return (
        "{{- bos_token -}}"
        + tools
        + """
{%- if messages[0].role == 'system' -%}{{- messages[0].content -}}{%- endif -%}
{%- set ns = namespace(in_tools=false) -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{%- set ns.in_tools = false -%}{{- '<｜User｜>' ~ m.content -}}
{%- elif m.role == 'tool' -%}
{%- set ns.in_tools = true -%}
{{- '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' ~ m.content ~ '<｜tool▁output▁end｜><｜tool▁outputs▁end｜>' -}}
{%- elif m.role == 'assistant' and m.tool_calls -%}{{- '<｜Assistant｜>' -}}"""
        + DEEPSEEK_CALLS.replace("ARGUMENTS", arguments)
        + """
{%- elif m.role == 'assistant' -%}
{{- ('' if ns.in_tools else '<｜Assistant｜>') ~ """
        + words
        + """ ~ eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not ns.in_tools -%}{{- '"""
        + prompt
        + """' -}}{%- endif -%}"""
    )


NEMOTRON = """
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{{- '<SPECIAL_11>Assistant\n' ~ m.content.split('</think>')[-1].lstrip('\n') ~ '\n<SPECIAL_12>\n' -}}
{%- else -%}{{- '<SPECIAL_11>' ~ m.role | capitalize ~ '\n' ~ m.content ~ '\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<SPECIAL_11>Assistant\n<think>\n' -}}{%- endif -%}"""
GLM = (
    """{{- '[gMASK]<sop>' -}}
{%- if tools -%}{{- '<|system|>\n<tools>\n' -}}
{%- for t in tools -%}{{- t | tojson ~ '\n' -}}{%- endfor -%}{{- '</tools>' -}}{%- endif -%}"""
    + LAST_QUESTION
    + """
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}"""
    + THOUGHT_AND_WORDS
    + """
{{- '<|assistant|>\n<think>' ~ (thought.strip() if loop.index0 > ns.last else '') ~ '</think>' -}}
{%- if said.strip() -%}{{- '\n' ~ said.strip() -}}{%- endif -%}
{%- for c in m.tool_calls or [] -%}
{{- '\n<tool_call>' ~ c.function.name ~ '\n' -}}
{%- for key, value in c.function.arguments.items() -%}
{{- '<arg_key>' ~ key ~ '</arg_key>\n<arg_value>' -}}
{{- (value if value is string else value | tojson) ~ '</arg_value>\n' -}}
{%- endfor -%}{{- '</tool_call>' -}}
{%- endfor -%}
{%- elif m.role == 'tool' -%}
{{- '<|observation|>\n<tool_response>\n' ~ m.content ~ '\n</tool_response>' -}}
{%- else -%}{{- '<|' ~ m.role ~ '|>\n' ~ m.content -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""
)
GEMMA = """
{{- bos_token -}}
{%- if messages[0].role == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}
{%- for m in messages -%}
{{- '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) ~ '\n' ~ m.content | trim ~ '<end_of_turn>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}"""
GEMMA3 = """
{{- bos_token -}}
{%- set first = messages[0].content ~ '\n\n' if messages[0].role == 'system' else '' -%}
{%- for m in messages[(1 if first else 0):] -%}
{{- '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) ~ '\n' -}}
{{- (first if loop.first else '') ~ m.content | trim ~ '<end_of_turn>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}"""


def mistral(*, gap: str) -> str:
    return (
        """
{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- set said = messages[1:] if system else messages -%}
{{- bos_token -}}
{%- for m in said -%}
{%- if m.role == 'user' -%}
{%- if tools and loop.index0 == ((said | selectattr('role', 'equalto', 'user') | list | length) - 1) * 2 -%}
{{- '[AVAILABLE_TOOLS]GAP' ~ tools | tojson ~ '[/AVAILABLE_TOOLS]' -}}
{%- endif -%}
{{- '[INST]GAP' ~ (system ~ '\n\n' if system and loop.last else '') ~ m.content ~ '[/INST]' -}}
{%- elif m.role == 'tool' -%}
{%- if m.tool_call_id | length != 9 -%}{{- raise_exception('an id has nine characters') -}}{%- endif -%}
{{- '[TOOL_RESULTS]GAP{"content": ' ~ m.content ~ ', "call_id": "' ~ m.tool_call_id ~ '"}[/TOOL_RESULTS]' -}}
{%- elif m.tool_calls -%}
{{- '[TOOL_CALLS]GAP[' -}}
{%- for c in m.tool_calls -%}
{{- (c.function | tojson)[:-1] ~ ', "id": "' ~ c.id ~ '"}' ~ (']' if loop.last else ', ') -}}
{%- endfor -%}{{- eos_token -}}
{%- else -%}{{- 'GAP' ~ m.content ~ eos_token -}}{%- endif -%}
{%- endfor -%}"""
    ).replace("GAP", gap)


MISTRAL_SMALL = """
{{- bos_token ~ '[SYSTEM_PROMPT]' -}}
{{- messages[0].content if messages[0].role == 'system' else 'Today is ' ~ strftime_now('%Y-%m-%d') -}}
{{- '[/SYSTEM_PROMPT]' -}}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{{- '[INST]' ~ m.content ~ '[/INST]' -}}
{%- elif m.role == 'assistant' -%}{{- m.content ~ eos_token -}}{%- endif -%}
{%- endfor -%}"""
SMOLLM3 = (
    """
{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- set thinks = '/no_think' not in system -%}
{{- '<|im_start|>system\nMode: ' ~ ('/think' if thinks else '/no_think') ~ '\n\n' -}}
{{- system.replace('/no_think', '').rstrip() -}}
{%- for t in tools or [] -%}{{- '\n' ~ t | tojson -}}{%- endfor -%}{{- '<|im_end|>\n' -}}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{{- '<|im_start|>assistant\n' ~ ('' if thinks else '<think>\n\n</think>\n') ~ m.content.lstrip('\n') -}}"""
    + HERMES_CALLS
    + """{{- '<|im_end|>\n' -}}
{%- elif m.role != 'system' -%}
{{- '<|im_start|>user\n' ~ m.content ~ '<|im_end|>\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\n' ~ ('' if thinks else '<think>\n\n</think>\n') -}}
{%- endif -%}"""
)
COMMAND_R = """
{{- bos_token ~ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' -}}
{{- (messages[0].content if messages[0].role == 'system' else 'You are Command.') ~ '<|END_OF_TURN_TOKEN|>' -}}
{%- for m in messages[(1 if messages[0].role == 'system' else 0):] -%}
{{- '<|START_OF_TURN_TOKEN|>' -}}
{%- if m.role == 'user' -%}{{- '<|USER_TOKEN|>' ~ m.content.strip() -}}
{%- else -%}{{- '<|CHATBOT_TOKEN|><|START_RESPONSE|>' ~ m.content.strip() ~ '<|END_RESPONSE|>' -}}{%- endif -%}
{{- '<|END_OF_TURN_TOKEN|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' -}}{%- endif -%}"""
GRANITE = """
{%- if messages[0].role != 'system' -%}
{{- '<|start_of_role|>system<|end_of_role|>Today is ' ~ strftime_now('%B %d, %Y') ~ '.<|end_of_text|>\n' -}}
{%- endif -%}
{%- if tools -%}
{{- '<|start_of_role|>tools<|end_of_role|>' ~ tools | tojson(indent=4) ~ '<|end_of_text|>\n' -}}
{%- endif -%}
{%- for m in messages -%}
{{- '<|start_of_role|>' ~ m.role ~ '<|end_of_role|>' -}}
{%- if m.tool_calls -%}{{- '<|tool_call|>' ~ m.tool_calls | map(attribute='function') | list | tojson -}}
{%- else -%}{{- m.content -}}{%- endif -%}{{- '<|end_of_text|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}"""
OLMO2 = """
{{- bos_token -}}
{%- for m in messages -%}
{{- '<|' ~ m.role ~ '|>\n' ~ m.content ~ (eos_token if m.role == 'assistant' else '') -}}
{{- '' if loop.last else '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\n<|assistant|>\n' -}}{%- endif -%}"""
FALCON = """
{%- for m in messages -%}
{{- ('' if loop.first else '\n\n') ~ {'user': 'User: ', 'assistant': 'Falcon: ', 'system': 'System: '}[m.role] -}}
{{- m.content.strip().replace('\r\n', '\n').replace('\n\n', '\n') -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\n\nFalcon:' -}}{%- endif -%}"""
