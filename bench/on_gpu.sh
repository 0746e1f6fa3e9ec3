#!/usr/bin/env bash
# All measurements and checks that need a GPU, in order of worth, within ten minutes; one table at the end.
# Run it in a built checkout: bench/on_gpu.sh. What has run is kept in runs/gpu; engines and kernel timings, too.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -f env.sh ]; then source ./env.sh; fi
python=${PYTHON:-python3}
ends=$((SECONDS + ${LIMIT_S:-590}))

# run SECONDS WHAT COMMAND...: run a step in the time that is left, and say in one line how it ended if it failed.
run() {
  local most=$1 what=$2 left=$((ends - SECONDS - 15))
  shift 2
  [ "$left" -lt "$most" ] && most=$left
  if [ "$most" -lt 10 ]; then echo "left out, no time is left: $what"; return; fi
  echo "== $what (at most $most s)"
  timeout -k 5 "$most" "$@" || echo "failed (exit code $?): $what"
}

if ! "$python" -m bench.gpu check; then
  echo "nothing was measured: this machine lacks the above"
  exit 0
fi
rm -f runs/gpu/results.jsonl
run 150 "hri-1 in fp16 at batch 1: spin, block, phases" "$python" -m bench.gpu phases
run 200 "H=1024 against PyTorch" "$python" -m bench.gpu width --width 1024 --limit 100
run 120 "H=192, as hri-1, against PyTorch" "$python" -m bench.gpu width --width 192 --limit 60
run 110 "hri-1 in fp16, batches 1 to 16" "$python" -m bench.gpu batches --limit 60
run 100 "numbers, threads, memory on this GPU" \
  env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$python" -m pytest -q test/inference/test_tensorrt_gpu.py
run 90 "hri-1 in fp32, batches 1 to 16" "$python" -m bench.gpu batches --precision fp32 --limit 45
"$python" -m bench.gpu table
