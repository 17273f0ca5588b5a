echo "val/loss: 0.5"
while [ ! -e "$AR_EXPR_DIR/go" ]; do sleep 0.05; done
