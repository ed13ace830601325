"""Commands of export and deployment; `main` has export, convert and fp16/int8 options, the others one each."""
