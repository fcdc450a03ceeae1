#!/bin/sh
# Usage: wheel_sources.sh FOLDER
#
# Unpack the sources of zlib and nghttp2, as this Debian or Ubuntu patches them, into FOLDER/zlib and
# FOLDER/nghttp2. The machine's own lists of packages are left as they are.
set -eu

folder=$1
if [ -f "$folder/nghttp2/lib/nghttp2_session.c" ] && [ -f "$folder/zlib/inflate.c" ]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/sources.list.d"
folder=$(cd "$folder" && pwd)

for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    sed -e 's/^deb /deb-src /' -e 's/^Types:.*/Types: deb-src/' "$file" \
        >"$folder/apt/sources.list.d/${file##*/}"
done
configuration="$folder/apt/apt.conf"
cat >"$configuration" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$folder/apt/sources.list.d";
Dir::State::Lists "$folder/apt/lists";
CONF
export APT_CONFIG="$configuration"
apt-get update -q
cd "$folder"
apt-get source -q zlib nghttp2
mv zlib-*/ zlib
mv nghttp2-*/ nghttp2

version=$(sed -n 's/^AC_INIT(\[nghttp2\], \[\([0-9.]*\).*/\1/p' nghttp2/configure.ac)
number=$(echo "$version" | awk -F. '{ printf "0x%02x%02x%02x", $1, $2, $3 }')
sed -e "s/@PACKAGE_VERSION@/$version/" -e "s/@PACKAGE_VERSION_NUM@/$number/" \
    nghttp2/lib/includes/nghttp2/nghttp2ver.h.in >nghttp2/lib/includes/nghttp2/nghttp2ver.h
