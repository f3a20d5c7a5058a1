/*
 * A disk that can be watched: preloaded into a program (LD_PRELOAD), it stands between the program and the files below
 * one directory. Everything else passes untouched. Children do not inherit it.
 *
 *   SLOW_DISK_DIR      the directory, absolute, as the program names it
 *   SLOW_DISK_SYNC_MS  every fsync and fdatasync takes this much longer, as on an SD card
 *   SLOW_DISK_STATE    file that is mapped and says, per file, how much was written since its last completed sync; it
 *                      outlives kill -9
 *   SLOW_DISK_LOG      file that every write, truncation, sync, creation, removal and rename is appended to, with its
 *                      data, in the order in which they took effect; nothing is really synced then
 *   SLOW_DISK_FAIL     while this file exists, writes and syncs fail with EIO
 *
 * What must stay true: the order of the log is the order of the effects (one lock around both), and a file counts as
 * synced only after the sync has returned. Deliberately absent: mapped writes (SQLite's -shm is rebuilt after every
 * crash), openat relative to a directory, 32-bit machines. Formats: see shim.rs and powercut/log.rs, their readers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "64-bit machines only");

enum { FDS_MAX = 4096, SLOTS = 64, PATH_BYTES = 232 };
enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_DIRECTORY, UNLINK, RENAME, MAKE_DIRECTORY };

/* 256 bytes, native byte order. */
struct slot {
    char path[PATH_BYTES];
    uint64_t unsynced;
    uint64_t writes;
    uint64_t syncs;
};

/* Followed by `first` and then `second` bytes; native byte order. */
struct entry {
    uint32_t kind;
    uint32_t first;
    uint64_t inode;
    uint64_t offset;
    uint64_t second;
};

struct file {
    uint64_t inode;
    struct slot *slot;
    char watched;
    char directory;
    char appends;
    char path[PATH_BYTES];
};

static struct file files[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *directory, *fail;
static size_t directory_bytes;
static struct slot *slots;
static int log_fd = -1;
static long sync_ms;

__attribute__((constructor)) static void begin(void) {
    const char *state = getenv("SLOW_DISK_STATE"), *log = getenv("SLOW_DISK_LOG"), *ms = getenv("SLOW_DISK_SYNC_MS");
    unsetenv("LD_PRELOAD");
    directory = getenv("SLOW_DISK_DIR");
    directory_bytes = directory ? strlen(directory) : 0;
    fail = getenv("SLOW_DISK_FAIL");
    sync_ms = ms ? atol(ms) : 0;
    if (state) {
        int fd = syscall(SYS_openat, AT_FDCWD, state, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || syscall(SYS_ftruncate, fd, (long)(SLOTS * sizeof(struct slot)))) _exit(97);
        slots = mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (slots == MAP_FAILED) _exit(97);
        syscall(SYS_close, fd);
    }
    if (log) {
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) _exit(97);
    }
}

/* The path below the directory, or NULL. */
static const char *below(const char *path) {
    if (!directory_bytes || !path || strncmp(path, directory, directory_bytes) || path[directory_bytes] != '/') return NULL;
    return path + directory_bytes + 1;
}

static struct file *watched(int fd) { return fd >= 0 && fd < FDS_MAX && files[fd].watched ? &files[fd] : NULL; }

static int broken(void) {
    if (!fail || syscall(SYS_faccessat, AT_FDCWD, fail, F_OK)) return 0;
    errno = EIO;
    return 1;
}

static void note(uint32_t kind, uint64_t inode, uint64_t offset, const void *first, size_t first_bytes,
                 const void *second, size_t second_bytes) {
    if (log_fd < 0) return;
    struct entry entry = {kind, first_bytes, inode, offset, second_bytes};
    struct iovec parts[] = {{&entry, sizeof entry}, {(void *)first, first_bytes}, {(void *)second, second_bytes}};
    size_t all = sizeof entry + first_bytes + second_bytes;
    /* A torn log would prove nothing. */
    if (syscall(SYS_writev, log_fd, parts, 3) != (long)all) _exit(98);
}

static struct slot *slot_of(const char *path) {
    if (!slots) return NULL;
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i].path[0]) strncpy(slots[i].path, path, PATH_BYTES - 1);
        if (!strncmp(slots[i].path, path, PATH_BYTES - 1)) return &slots[i];
    }
    return NULL;
}

static int open_watched(const char *path, int flags, mode_t mode) {
    const char *name = below(path);
    if (!name) return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fresh = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK);
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode), saved = errno;
    struct stat stat;
    if (fd >= 0 && fd < FDS_MAX && !fstat(fd, &stat)) {
        struct file *file = &files[fd];
        *file = (struct file){.inode = stat.st_ino, .watched = 1};
        file->directory = S_ISDIR(stat.st_mode);
        file->appends = (flags & O_APPEND) != 0;
        file->slot = file->directory ? NULL : slot_of(name);
        strncpy(file->path, name, PATH_BYTES - 1);
        if (fresh) note(CREATE, stat.st_ino, 0, name, strlen(name), NULL, 0);
        else if (flags & O_TRUNC) note(TRUNCATE, stat.st_ino, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_watched(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_watched(path, flags, mode);
}

int close(int fd) {
    if (watched(fd)) files[fd].watched = 0;
    return syscall(SYS_close, fd);
}

static ssize_t write_watched(struct file *file, int fd, const void *data, size_t bytes, off_t offset, int positioned) {
    if (broken()) return -1;
    pthread_mutex_lock(&lock);
    /* Before the write: a kill in between must find it. */
    if (file->slot) __atomic_add_fetch(&file->slot->unsynced, bytes, __ATOMIC_SEQ_CST);
    if (!positioned) offset = syscall(SYS_lseek, fd, 0, file->appends ? SEEK_END : SEEK_CUR);
    ssize_t written =
        positioned ? syscall(SYS_pwrite64, fd, data, bytes, offset) : syscall(SYS_write, fd, data, bytes);
    int saved = errno;
    if (written > 0) {
        if (file->slot) file->slot->writes++;
        note(WRITE, file->inode, offset, NULL, 0, data, written);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return written;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    struct file *file = watched(fd);
    return file ? write_watched(file, fd, data, bytes, 0, 0) : syscall(SYS_write, fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    struct file *file = watched(fd);
    return file ? write_watched(file, fd, data, bytes, offset, 1) : syscall(SYS_pwrite64, fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) { return pwrite(fd, data, bytes, offset); }

static int truncate_watched(int fd, off_t bytes) {
    struct file *file = watched(fd);
    if (!file) return syscall(SYS_ftruncate, fd, bytes);
    if (broken()) return -1;
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, fd, bytes), saved = errno;
    if (!result) note(TRUNCATE, file->inode, bytes, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int ftruncate(int fd, off_t bytes) { return truncate_watched(fd, bytes); }
int ftruncate64(int fd, off_t bytes) { return truncate_watched(fd, bytes); }

static int sync_watched(int fd, long call) {
    struct file *file = watched(fd);
    if (!file) return syscall(call, fd);
    if (broken()) return -1;
    if (sync_ms) {
        struct timespec wait = {sync_ms / 1000, sync_ms % 1000 * 1000000};
        while (nanosleep(&wait, &wait) && errno == EINTR) {}
    }
    if (log_fd < 0) {
        int result = syscall(call, fd), saved = errno;
        if (!result && file->slot) {
            __atomic_store_n(&file->slot->unsynced, 0, __ATOMIC_SEQ_CST);
            file->slot->syncs++;
        }
        errno = saved;
        return result;
    }
    pthread_mutex_lock(&lock);
    if (file->directory) note(SYNC_DIRECTORY, file->inode, 0, file->path, strlen(file->path), NULL, 0);
    else note(SYNC, file->inode, 0, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return sync_watched(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_watched(fd, SYS_fdatasync); }

int unlink(const char *path) {
    const char *name = below(path);
    if (!name) return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (broken()) return -1;
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0), saved = errno;
    if (!result) {
        struct slot *slot = slot_of(name);
        if (slot) __atomic_store_n(&slot->unsynced, 0, __ATOMIC_SEQ_CST);
        note(UNLINK, 0, 0, name, strlen(name), NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int rename(const char *from, const char *to) {
    const char *from_name = below(from), *to_name = below(to);
    if (from_name && to_name && broken()) return -1;
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), saved = errno;
    if (!result && from_name && to_name) note(RENAME, 0, 0, from_name, strlen(from_name), to_name, strlen(to_name));
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    const char *name = below(path);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode), saved = errno;
    if (!result && name) note(MAKE_DIRECTORY, 0, 0, name, strlen(name), NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
