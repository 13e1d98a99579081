#!/bin/sh
# Calls a running `dlcv serve` in every way there is over HTTP, by curl alone:
#
#     sh curl.sh http://127.0.0.1:8501 photo.jpg classes.png
#
# The last one is written: what a segmenter answers. It ends at the first error, with curl's status.
# A server with --token-file wants TOKEN=... before the command.
set -eu
[ $# -eq 3 ] || { echo "usage: sh curl.sh URL PICTURE CLASSES.png" >&2 && exit 2; }
url=$1
picture=$2
png=$3
[ -r "$picture" ] || { echo "cannot read $picture" >&2 && exit 2; }
case $picture in *.png) type=image/png ;; *) type=image/jpeg ;; esac

ask() { # --fail-with-body: the server's words, and a status other than 0, for any error
    curl --fail-with-body --silent --show-error --max-time 30 \
        ${TOKEN:+--header "Authorization: Bearer $TOKEN"} "$@"
    echo
}
base64_of() { base64 < "$1" | tr -d '\n'; }

echo '== A picture file, as it is: a classifier'
ask --data-binary "@$picture" -H "Content-Type: $type" \
    "$url/v1/models/cifar10_airbench:predict"

echo '== and a detector: boxes in pixels of the picture'
ask --data-binary "@$picture" -H "Content-Type: $type" "$url/v1/models/bccd_ssd:predict"

echo '== A picture as the answer: a class map'
ask --data-binary "@$picture" -H "Content-Type: $type" -H 'Accept: image/png' \
    --output "$png" "$url/v1/models/camvid_unet:predict"

echo '== Files in JSON, as TF Serving takes them; several make a batch'
{
    printf '{"signature_name": "image_bytes", "instances": [{"b64": "'
    base64_of "$picture"
    printf '"}]}'
} | ask --data-binary @- -H 'Content-Type: application/json' \
    "$url/v1/models/cifar10_airbench:predict"

echo '== Pixels in JSON: one picture of 2 x 2'
ask -H 'Content-Type: application/json' \
    --data '{"instances": [[[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]]}' \
    "$url/v1/models/cifar10_airbench:predict"

echo '== Classes and scores of a tf.Example'
{
    printf '{"signature_name": "classify", "examples": [{"image_bytes": {"b64": "'
    base64_of "$picture"
    printf '"}}]}'
} | ask --data-binary @- -H 'Content-Type: application/json' \
    "$url/v1/models/cifar10_airbench/versions/1:classify"

echo '== KServe v2: pixels'
ask -H 'Content-Type: application/json' \
    --data '{"inputs": [{"name": "images", "shape": [1, 2, 2, 3], "datatype": "UINT8",
             "data": [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]}]}' \
    "$url/v2/models/cifar10_airbench/infer"

echo '== and files'
{
    printf '{"inputs": [{"name": "image_bytes", "shape": [1], "datatype": "BYTES",'
    printf ' "parameters": {"content_type": "base64"}, "data": ["'
    base64_of "$picture"
    printf '"]}]}'
} | ask --data-binary @- -H 'Content-Type: application/json' \
    "$url/v2/models/cifar10_airbench/versions/1/infer"

echo '== What there is'
ask "$url/v1/models"
ask "$url/v1/models/bccd_ssd"
ask "$url/v1/models/bccd_ssd/metadata"
ask "$url/v2/models/bccd_ssd"

echo '== How the server is'
ask "$url/v2/health/ready"
ask "$url/metrics"
ask "$url/openapi.json"
