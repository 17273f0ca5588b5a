"""A small GPT-2 with random weights, trained by the Hugging Face Trainer, which reports to wandb."""

import os

import prepare
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

LEARNING_RATE = 1e-3
WIDTH = 32
LAYERS = 2
STEPS = 60
SEED = int(os.environ.get("AR_SEED", "0"))  # of the daemon; by hand 0


def new_model() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=prepare.VOCABULARY,
        n_positions=prepare.LENGTH,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def main() -> None:
    set_seed(SEED)
    torch.set_num_threads(1)  # sums in one order; more would not be faster here
    train, validation = prepare.load()
    arguments = TrainingArguments(
        output_dir="output",
        max_steps=STEPS,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="cosine",
        logging_steps=10,
        eval_strategy="steps",
        eval_steps=20,
        save_steps=20,
        save_total_limit=2,
        report_to=["wandb"],
        use_cpu=True,
        seed=SEED,
    )
    trainer = Trainer(model=new_model(), args=arguments, train_dataset=train, eval_dataset=validation)
    trainer.train()


if __name__ == "__main__":
    main()
