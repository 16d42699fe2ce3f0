#!/bin/sh
# Builds the C library and installs it: the shared and the static library, the preload library, the
# header, the pkg-config file and the man pages.
#
#   capi/install.sh                                under /usr/local
#   PREFIX=/usr DESTDIR=stage capi/install.sh      for a package
#
# LIBDIR, INCLUDEDIR and MANDIR say where under PREFIX, PROFILE=dev builds for a debugger.
set -eu

PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
MANDIR=${MANDIR:-$PREFIX/share/man}
PROFILE=${PROFILE:-release}
# Both are meant relative to where the script was called.
DESTDIR=${DESTDIR:+$(realpath -m "$DESTDIR")}
target=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}")
cd "$(dirname "$0")"

cargo build --locked --package halfshake-capi --lib --profile "$PROFILE" --target-dir "$target"
built=$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}
if [ "$PROFILE" = dev ]; then
    built=${built}debug
else
    built=$built$PROFILE
fi
version=$(cargo pkgid --locked --package halfshake-capi)
version=${version##*[@#]}
abi=$(sed -n 's/^const ABI: u32 = \([0-9]*\);$/\1/p' build.rs)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A Rust archive exports everything that it is made of, and two of them would clash in one program.
# So: one object of all that the functions need, in which only these functions can be seen.
roots=$(sed -n 's/^pub extern "C" fn \(halfshake_[a-z_]*\)(.*/-u \1/p' src/exports/*.rs)
# shellcheck disable=SC2086 # Words on purpose.
ld -r --gc-sections --whole-archive $roots "$built/libhalfshake_capi.a" -o "$work/halfshake.o"
# Bitcode of Rust's own parts makes binutils with an older LLVM's plugin stumble.
objcopy --wildcard --keep-global-symbol='halfshake_*' \
    --remove-section=.llvmbc --remove-section=.llvmcmd "$work/halfshake.o"
cp "$built/libhalfshake_capi.so" "$work/shared"
if [ "$PROFILE" = release ]; then
    strip --strip-unneeded "$work/shared"
    objcopy --strip-debug "$work/halfshake.o"
fi
ar rcs "$work/libhalfshake.a" "$work/halfshake.o"
sed -e "s|@PREFIX@|$PREFIX|" -e "s|@LIBDIR@|$LIBDIR|" -e "s|@INCLUDEDIR@|$INCLUDEDIR|" \
    -e "s|@VERSION@|$version|" halfshake.pc.in >"$work/halfshake.pc"

lib=$DESTDIR$LIBDIR
install -d "$lib/pkgconfig" "$DESTDIR$INCLUDEDIR" "$DESTDIR$MANDIR/man3" \
    "$DESTDIR$MANDIR/man8"
install -m 755 "$work/shared" "$lib/libhalfshake.so.$version"
ln -sf "libhalfshake.so.$version" "$lib/libhalfshake.so.$abi"
ln -sf "libhalfshake.so.$abi" "$lib/libhalfshake.so"
# shellcheck disable=SC2016 # The loader's word.
"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -I. \
    preload/*.c -o "$work/preload" -L"$lib" -lhalfshake -pthread -ldl -Wl,-rpath,'$ORIGIN'
install -m 755 "$work/preload" "$lib/libhalfshake-preload.so"
install -m 644 "$work/libhalfshake.a" "$lib/libhalfshake.a"
install -m 644 "$work/halfshake.pc" "$lib/pkgconfig/halfshake.pc"
install -m 644 halfshake.h "$DESTDIR$INCLUDEDIR/halfshake.h"
install -m 644 halfshake.3 "$DESTDIR$MANDIR/man3/halfshake.3"
install -m 644 halfshake-preload.8 "$DESTDIR$MANDIR/man8/halfshake-preload.8"
echo "halfshake $version: $lib, $DESTDIR$INCLUDEDIR, $DESTDIR$MANDIR"
