echo "val/loss: 2.0"
