/*
 * Another boot without a restart: preloaded into the daemon, it has the kernel's boot id come from the file that
 * TORTURE_BOOT_ID names. Children do not inherit it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *boot_id;

__attribute__((constructor)) static void begin(void) {
    boot_id = getenv("TORTURE_BOOT_ID");
    unsetenv("LD_PRELOAD");
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (boot_id && !strcmp(path, "/proc/sys/kernel/random/boot_id")) path = boot_id;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
