echo "val/loss: 0.25"
