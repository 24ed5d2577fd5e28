"""The default job as a plain script: transformers' generate, TRL's SFTTrainer, and the same arms; run by compare.py.

Left-padded batches of queries of similar length, greedy; LoRA with the same rank, learning rate and epochs; the teacher's stored
answers also serve for the base with the prompt, which is the same model.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main(job_file):
    job = json.loads(Path(job_file).read_text())
    began, seconds = time.perf_counter(), {}

    def lap(stage):
        nonlocal began
        now = time.perf_counter()
        seconds[stage], began = now - began, now

    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
    queries = job["queries"]
    labels = {
        query["id"]: text
        for query, text in zip(queries, answers(model, tokenizer, queries, job, prompt=job["prompt"]), strict=True)
        if text in job["labels"]
    }
    lap("generate")
    held_out = [query for query in queries if query["part"] == "eval"]
    arms = {"base": answers(model, tokenizer, held_out, job)}
    lap("evaluate")
    student = trained(model, tokenizer, [query for query in queries if query["part"] == "train"], labels, job)
    lap("train")
    student.eval()
    arms["student"] = answers(student, tokenizer, held_out, job)
    arms["student_prompted"] = answers(student, tokenizer, held_out, job, prompt=job["prompt"])
    arms["teacher"] = arms["base_prompted"] = [labels.get(query["id"]) for query in held_out]
    figures = {arm: figure(said, held_out, labels) for arm, said in arms.items()}
    before = seconds["evaluate"]
    lap("evaluate")
    seconds["evaluate"] += before
    print("RESULT " + json.dumps({"seconds": seconds, "arms": figures}))


def answers(model, tokenizer, queries, job, prompt=None):
    """Return the greedy answers, in the order of the queries."""
    begin = [] if prompt is None else [{"role": "system", "content": prompt}]
    texts = [
        tokenizer.apply_chat_template(
            [*begin, {"role": "user", "content": query["query"]}], tokenize=False, add_generation_prompt=True
        )
        for query in queries
    ]
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    size = job["prompted_batch"] if begin else job["bare_batch"]
    given = [""] * len(texts)
    with torch.inference_mode():
        for first in range(0, len(order), size):
            places = order[first : first + size]
            batch = tokenizer(
                [texts[place] for place in places], return_tensors="pt", padding=True, add_special_tokens=False
            )
            tokens = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=False,
                max_new_tokens=job["max_tokens"],
                pad_token_id=tokenizer.pad_token_id,
            )
            new = tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            for place, text in zip(places, new, strict=True):
                given[place] = text.strip()
    return given


def trained(model, tokenizer, queries, labels, job):
    """Return the student: the model with an adapter, trained on the answers without the prompt."""
    rows = [
        {
            "prompt": [{"role": "user", "content": query["query"]}],
            "completion": [{"role": "assistant", "content": labels[query["id"]]}],
        }
        for query in queries
        if query["id"] in labels
    ]
    arguments = SFTConfig(
        output_dir=job["output"],
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=job["part"],
        gradient_accumulation_steps=max(1, job["batch_size"] // job["part"]),
        train_sampling_strategy="group_by_length",
        num_train_epochs=job["epochs"],
        learning_rate=job["learning_rate"],
        lr_scheduler_type="linear",
        weight_decay=0.0,
        completion_only_loss=True,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    lora = LoraConfig(
        r=job["rank"],
        lora_alpha=2 * job["rank"],
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=lora
    )
    trainer.train()
    tokenizer.padding_side = "left"
    return trainer.model


def figure(said, held_out, labels):
    """Return agreement with the teacher where it gave a label, and accuracy."""
    known = [(text, labels[query["id"]]) for text, query in zip(said, held_out, strict=True) if query["id"] in labels]
    right = [text == query["reference"] for text, query in zip(said, held_out, strict=True)]
    return {
        "agreement": sum(text == label for text, label in known) / len(known),
        "accuracy": sum(right) / len(right),
    }


if __name__ == "__main__":
    main(sys.argv[1])
