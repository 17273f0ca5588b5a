"""The names of our own environment variables: what a job gets of them is the daemon's to say.

All else that begins with AR_ is the project's own, and reaches its jobs.
"""

# What a job, a check, or a metric command is told.
OF_A_RUN = frozenset(
    "AR_RUN_ID AR_RUN_DIR AR_EXPR_DIR AR_SECONDS AR_ATTEMPT AR_SEED AR_BEST_CKPT AR_PARENT_CKPT"
    " AR_LOG AR_AT_START AR_CHECKPOINT".split()
)
# What a person or an agent says to arctl and to the daemon.
OF_A_CALLER = frozenset("AR_EXPR AR_NONINTERACTIVE AR_GPUS AR_CPU_SLOTS".split())
OWN = OF_A_RUN | OF_A_CALLER
