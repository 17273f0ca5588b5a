from ending import end, rows, told

for step, value in rows():
    print(f"step {step}: val/loss={value}")
    told(step, value)
end()
