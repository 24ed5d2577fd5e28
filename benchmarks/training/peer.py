"""Trains one job with TRL's SFTTrainer; run by benchmarks/training/compare.py in an environment of its own."""

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from datasets import Dataset
from measuring import above, start
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

VARIANTS = {
    "by length": {"train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 16},
    "padding-free": {"padding_free": True, "max_length": None, "per_device_train_batch_size": 16},
    "packed": {"packing": True, "max_length": 512, "per_device_train_batch_size": 2},
}


class Steps(TrainerCallback):
    """Records the wall-clock and processor time at the end of each step, and its loss."""

    def __init__(self):
        self.wall, self.cpu, self.losses = [], [], []

    def on_train_begin(self, *_, **__):
        self.loaded = start()
        self._note()

    def on_step_end(self, *_, **__):
        self._note()

    def on_log(self, args, state, control, logs=None, **__):
        if "loss" in (logs or {}):
            self.losses.append(logs["loss"])

    def _note(self):
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


def main(job_file):
    job = json.loads(Path(job_file).read_text())
    torch.set_num_threads(job["threads"])
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    data = Dataset.from_list(
        [
            {
                "input_ids": row["ids"],
                "completion_mask": [int(place >= row["prompt"]) for place in range(len(row["ids"]))],
            }
            for row in rows
        ]
    )
    variant = dict(VARIANTS[job["variant"]])
    longest = max(len(row["ids"]) for row in rows)
    variant.setdefault("max_length", longest)
    per_step = job["batch_size"]
    if variant.get("packing"):
        tokens = sum(len(row["ids"]) for row in rows) / len(rows)
        per_step = max(2, round(job["batch_size"] * tokens / variant["max_length"]))
    arguments = SFTConfig(
        output_dir=job["output"],
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_accumulation_steps=max(1, per_step // variant["per_device_train_batch_size"]),
        num_train_epochs=job["epochs"],
        learning_rate=job["learning_rate"],
        lr_scheduler_type="linear",
        weight_decay=0.0,
        completion_only_loss=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **variant,
    )
    steps = Steps()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        args=arguments,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        peft_config=LoraConfig(
            r=job["rank"],
            lora_alpha=2 * job["rank"],
            lora_dropout=0.0,
            target_modules=job["targets"],
            task_type="CAUSAL_LM",
        ),
        callbacks=[steps],
    )
    trainer.train()
    seconds = [b - a for a, b in pairwise(steps.wall)]
    cpu = [b - a for a, b in pairwise(steps.cpu)]
    result = {"wall": seconds, "cpu": cpu, "losses": steps.losses, "rows": len(rows) * job["epochs"]}
    print("RESULT " + json.dumps({**result, "peak": above(steps.loaded)}))


if __name__ == "__main__":
    main(sys.argv[1])
