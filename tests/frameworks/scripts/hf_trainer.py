"""Three evaluations, each with a checkpoint; the end comes at the beginning of the step after the last."""

import torch
from ending import end, told
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments, set_seed

EVERY, LAST = 4, 12


class Ending(TrainerCallback):
    def on_evaluate(self, args, state, control, metrics, **kwargs):
        told(state.global_step, metrics["eval_loss"])

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == LAST:
            end()
            control.should_training_stop = True


class Tokens(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        tokens = (torch.arange(16) * (index % 5 + 1)) % 16
        return {"input_ids": tokens, "labels": tokens}


set_seed(0)
config = GPT2Config(
    vocab_size=16, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
)
arguments = TrainingArguments(
    output_dir="output",
    max_steps=100,
    logging_steps=EVERY,
    eval_strategy="steps",
    eval_steps=EVERY,
    save_steps=EVERY,
    report_to=["wandb", "tensorboard"],
    use_cpu=True,
)
trainer = Trainer(
    model=GPT2LMHeadModel(config),
    args=arguments,
    train_dataset=Tokens(),
    eval_dataset=Tokens(),
    callbacks=[Ending()],
)
trainer.train()
