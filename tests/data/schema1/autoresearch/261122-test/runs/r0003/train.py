echo "Traceback" >&2
exit 3
