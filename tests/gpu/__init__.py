"""What only a GPU runs; CONTRIBUTING.md says how to run it and how to hand in a failure.

Every branch of the local backend that depends on the device, or on weights of 16 bits, and the file that runs it:

| branch | where | test |
|---|---|---|
| device and dtype by themselves, a device that is missing, deterministic operations, limits | machine, limits, trainer | test_machine |
| weights go to the device in their type; a second GPU | models | test_machine |
| the first adapter is drawn on the CPU, whatever the device | adapter | test_machine |
| attention by plain products: a prefix, rows that begin, several blocks of scores, 16 bits | attention, step | test_attention |
| the engine's packed steps on the device; its trial's tolerance for 16 bits; the fall-back | cascade, trial, expanded | test_engine |
| no products, norms and LoRA layers of our own: those need float32 on a CPU | products, linears, norms, lowrank | test_engine, test_training |
| tokens drawn, and kept to labels, on the device | drawing, trie | test_engine |
| flash attention for rows of unequal length, forward and backward, windows, grouped heads | tiles | test_varlen |
| packed rows in 16 bits; padded ones in float32, which flash attention does not take | packed, padded, trainer | test_training |
| logits a few at a time, 16-bit weights | crossentropy | test_training |
| parts of a batch by the device's size; fused AdamW; recompute | trainer, recompute | test_training |
| a saved state with the device's random numbers | trainer | test_resume |
| memory given back: after answers, after training | sampler, trainer | test_memory |
| vLLM's arguments, LoRA students, and its end before training | vllm_engine, vllm_sampler | test_vllm |
| exports in float32 on the device; served from there | export, exported, serving | test_export |
| the whole job in one process after another, killed and continued | all | test_job |
"""
