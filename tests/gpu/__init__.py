"""What only a GPU runs; CONTRIBUTING.md says how to run it and how to report a failure.

Every branch of the local backend that depends on the device, or on 16-bit weights, and the test that runs it:

| branch | where | test |
|---|---|---|
| default device and dtype, a missing device, deterministic operations | model/machine | test_machine |
| batch limits of a device | torch_engine/batch_limits | test_machine |
| weights go to the device in the run's dtype; a second GPU | model/loading | test_machine |
| the initial adapter is drawn on the CPU, whatever the device | model/adapter | test_machine |
| attention by plain matrix products: a prefix, prefill, blocks of scores, 16 bits | kernels/partial_attention, torch_engine/step | test_attention |
| the cascade on the device; the fit check's tolerance for 16 bits; the fallback | torch_engine/cascade, torch_engine/fit_check, torch_engine/padded_engine | test_engine |
| no faster linear layers, norms or LoRA layers: they need float32 on a CPU | kernels/onednn, kernels/inference_linear, kernels/rms_norm, kernels/lora_linear | test_engine, test_training |
| sampling, and constrained decoding, on the device | sampling/token_sampler, sampling/label_trie | test_engine |
| flash attention for rows of unequal length, forward and backward, windows, grouped heads | kernels/packed_attention | test_varlen |
| packed rows in 16 bits; padded ones in float32, which flash attention does not support | training/packed_runner, training/padded_runner, training/trainer | test_training |
| logits for a few tokens at a time, 16-bit weights | kernels/cross_entropy | test_training |
| parts of a batch by device; fused AdamW; recomputation | training/trainer, training/recompute | test_training |
| a saved state with the device's random number generator | training/trainer | test_resume |
| memory is freed: after answers, after training | sampling/sampler, training/trainer | test_memory |
| vLLM's arguments, LoRA students, and its shutdown before training | vllm/engine, vllm/sampler | test_vllm |
| exports in float32 on the device, and serving them there | export/writer, export/transformers_export, export/serving | test_export |
| the whole job, as a chain of processes that are killed and resumed | all | test_job |
"""
