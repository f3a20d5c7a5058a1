/* Another boot of the system, for one program: what it reads as the kernel's boot id stands in the file ANOTHER_BOOT.
 * Absent on purpose: everything but open and open64 of exactly this path. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opened(const char *path, int flags, mode_t mode) {
    const char *other = getenv("ANOTHER_BOOT");
    if (other && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = other;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return opened(path, flags | O_LARGEFILE, mode);
}
