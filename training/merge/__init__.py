"""LoRA adapters into model weights: BF16 and MXFP4, tensor by tensor, in bounded memory."""
