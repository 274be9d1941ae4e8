"""What a run brings home: the adapter folder, its checksums, the merged model, the model card."""
