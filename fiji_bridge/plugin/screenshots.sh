#!/bin/sh
# Uses the plugin in a real ImageJ window on a screen in memory, checks what happens there, and
# writes pictures of it into a folder (docs/fiji unless another is given).
# Needs Java, Maven and Xvfb; with openbox, the windows have title bars.
set -eu
cd "$(dirname "$0")"
pictures=${1:-../../docs/fiji}
mkdir -p "$pictures"
pictures=$(cd "$pictures" && pwd)

mvn -q package -DskipTests
mvn -q dependency:build-classpath -DincludeScope=test -Dmdep.outputFile=target/classpath
home=target/imagej
rm -rf "$home"
mkdir -p "$home/plugins"
cp target/Microscope_Quality-*.jar "$home/plugins/"

# Xvfb chooses a number that is free and writes it into a file.
rm -f target/display
Xvfb -displayfd 3 -screen 0 1400x900x24 3>target/display 2>/dev/null &
screen=$!
trap 'kill $screen 2>/dev/null' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -s target/display ] && break
    sleep 0.5
done
DISPLAY=:$(cat target/display)
export DISPLAY
if command -v openbox >/dev/null; then
    openbox 2>/dev/null &
fi
# The plugin comes from the plugins folder alone, as it does for a user.
plugin=$(pwd)
classpath=$plugin/target/test-classes:$(cat target/classpath)
cd ../..
java -Duser.home="$plugin/$home" -Dplugins.dir="$plugin/$home" -cp "$classpath" \
    quality.microscope.focus.WindowCheck docs/sample "$pictures" "$plugin/macros"
