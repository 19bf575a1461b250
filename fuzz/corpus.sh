#!/bin/sh
# Writes a tiny corpus for every target. Needs the program: `cargo build --release -p genus-cli`.
set -eu
cd "$(dirname "$0")"
genus=${GENUS:-../target/release/genus}
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
for target in csv npy npz idx amat safetensors png model checkpoint config; do mkdir -p "corpus/$target"; done
"$genus" train gmm --data iris --out "$seeds/gmm" --set components=2 --set restarts=1 --no-audit >"$seeds/log"
"$genus" train made --data digits --out "$seeds/made" --set 'hidden=[8]' --set train.epochs=1 --no-audit >"$seeds/log"
cp "$seeds/gmm/model.safetensors" corpus/model/gmm
cp "$seeds/made/model.safetensors" corpus/model/made
cp "$seeds/gmm/model.safetensors" corpus/safetensors/model
"$genus" sample "$seeds/gmm" -n 4 >corpus/csv/iris
printf '# by hand\nwhen;what\n1,5;a\n2,5;b\n' >corpus/csv/commas
for form in npy npz png; do
    "$genus" sample "$seeds/made" -n 4 -o "$seeds/s.$form" 2>"$seeds/log"
    cp "$seeds/s.$form" "corpus/$form/digits"
done
printf '\000\000\010\002\000\000\000\002\000\000\000\003\001\002\003\004\005\006' >corpus/idx/bytes
gzip -c corpus/idx/bytes >corpus/idx/packed
printf '0 1 1\n1 0 0\n' >corpus/amat/bits
for step in "$seeds"/made/checkpoints/step-*; do
    { tr -d '\n' <"$step/MANIFEST.json"; echo; cat "$step/state.safetensors"; } >corpus/checkpoint/made
done
"$genus" models made >"$seeds/log"
printf 'hidden = [8]\n[train]\nepochs = 1\n' >corpus/config/made
printf 'train.optimizer.rate=0.1\nhidden=[8, 8]\n' >corpus/config/set
