#!/usr/bin/env bash
# The pictures of the live page (part of make pictures): docs/pictures/live-*.png, of the
# release build under load, with an engine of its own. Installs what is missing.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh

engine_answers || die "the pictures need a Docker engine."
# It has a trap of its own.
(install_debian chromedriver=chromium-driver convert=imagemagick fc-list=fontconfig)
# What the page prefers where it is there.
fc-list : family | grep -qi '^inter' || apt-get -qq install -y fonts-inter >/dev/null ||
    say "No font Inter to be had: another one will be in the pictures."

deploy/images.sh
LB_E2E_PICTURES=docs/pictures LB_E2E_BINARY=$PWD/.build/lb/lb-bin \
    cargo test -p lb-bin --test e2e --locked -- --exact pictures_of_the_live_page |
    tee /dev/stderr | grep -q ' 1 passed' || die "there are no new pictures."
# A page has few colours: this halves the files.
for picture in docs/pictures/live-*.png; do
    convert "$picture" -strip +dither -colors 255 "$picture"
done
