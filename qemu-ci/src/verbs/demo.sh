# What the demo runs in dom0: NPB CG on four unikernels, saved again and again. In the middle one of
# their domains is destroyed, as by a fault; the job goes back to its newest image by itself.
images=/tmp/demo-images
pgas run -n 4 --mem 32M --every 1s --restart 3 --dir $images --timeline "$1" \
    cg.img -- --class W &
job=$!

# Whoever sees two images knows that the job is on its way.
saved() {
    find $images -name '*.image' 2>/dev/null | wc -l
}
while kill -0 $job 2>/dev/null && [ "$(saved)" -lt 2 ]; do
    sleep 0.1
done
victim=$(xl list | awk '/^pgas-.*-2 / { print $1 }')
if [ -n "$victim" ]; then
    echo "demo: xl destroy $victim"
    xl destroy "$victim"
fi
wait $job
