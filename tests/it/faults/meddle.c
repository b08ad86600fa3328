/* Loaded before the C library by the tests of faults, never by the service: counts what a process does to the files of its store, and at one
 * step kills it, or lets a call fail, lie or take long. A step is one call that changes a file or makes it durable.
 *
 * MEDDLE_FOLDER  only files below it count
 * MEDDLE_FILES   only files whose path holds this count
 * MEDDLE_CALLS   only calls whose name is in this list count; empty: all
 * MEDDLE_DEED    count, kill-before, kill-after, torn (half of a write, then killed), error, full, slow. A sync that ends in an error takes with it
 *                what was written to that file since the last one that did not: a kernel may drop such pages, and the next start must not find in its
 *                cache what no disk has
 * MEDDLE_STEP    the step at which it happens; error, full and slow go on from there
 * MEDDLE_WHILE   a slow call takes as long as this file is there
 * MEDDLE_LOG     every step is written here, one a line
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long steps;

enum deed { NOTHING, BEFORE, AFTER, TORN, ERROR, FULL, SLOW };

static enum deed step_at(const char *call, const char *path) {
    const char *folder = getenv("MEDDLE_FOLDER"), *files = getenv("MEDDLE_FILES"), *calls = getenv("MEDDLE_CALLS");
    const char *deed = getenv("MEDDLE_DEED"), *at = getenv("MEDDLE_STEP"), *log = getenv("MEDDLE_LOG");
    if (!folder || !deed || strncmp(path, folder, strlen(folder)) != 0) return NOTHING;
    if (files && *files && !strstr(path, files)) return NOTHING;
    if (calls && *calls && !strstr(calls, call)) return NOTHING;
    long step = atomic_fetch_add(&steps, 1) + 1;
    if (log && *log) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", step, call, path + strlen(folder));
        int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (file >= 0) { syscall(SYS_write, file, line, (size_t)length); syscall(SYS_close, file); }
    }
    long wanted = at ? atol(at) : 0;
    if (step < wanted || !strcmp(deed, "count")) return NOTHING;
    if (!strcmp(deed, "error")) return ERROR;
    if (!strcmp(deed, "full")) return FULL;
    if (!strcmp(deed, "slow")) return SLOW;
    if (step > wanted) return NOTHING;
    if (!strcmp(deed, "torn")) return TORN;
    return !strcmp(deed, "kill-before") ? BEFORE : AFTER;
}

static enum deed step_of(const char *call, int file) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0) return NOTHING;
    path[length] = 0;
    return step_at(call, path);
}

static void die(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); for (;;) pause(); }

static int wants(enum deed deed, int *failed) {
    if (deed == BEFORE || deed == TORN) die();
    const char *held = getenv("MEDDLE_WHILE");
    struct timespec wait = { 0, 10 * 1000000 };
    while (deed == SLOW && held && access(held, F_OK) == 0) nanosleep(&wait, NULL);
    if (deed == ERROR || deed == FULL) { errno = deed == ERROR ? EIO : ENOSPC; *failed = 1; return -1; }
    return 0;
}

/* A write that no sync has followed yet: what stood there before it. */
struct unsynced {
    dev_t device; ino_t inode; off_t at, end; size_t length; char *before; unsigned long number; struct unsynced *older;
};
static struct unsynced *unsynced;
static unsigned long written;
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;

/* Whether that file's syncs will fail. */
static int is_unlucky(int file) {
    const char *folder = getenv("MEDDLE_FOLDER"), *files = getenv("MEDDLE_FILES"), *calls = getenv("MEDDLE_CALLS"), *deed = getenv("MEDDLE_DEED");
    if (!folder || !deed || strcmp(deed, "error") != 0 || !calls || !strstr(calls, "sync")) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0 && (!files || !*files || strstr(path, files));
}

/* Before a write; `at` below 0: where the file stands. */
static void keep(int file, off_t at, size_t length) {
    int saved = errno, flags;
    struct stat about;
    if (length > 0 && is_unlucky(file) && fstat(file, &about) == 0 && S_ISREG(about.st_mode)) {
        if (at < 0) at = (flags = fcntl(file, F_GETFL)) >= 0 && (flags & O_APPEND) ? about.st_size : lseek(file, 0, SEEK_CUR);
        struct unsynced *one = malloc(sizeof *one);
        char *before = malloc(length), link[64];
        if (!one || !before) abort();
        /* The file may be open for writing alone. */
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        int readable = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY);
        ssize_t had = at < about.st_size ? syscall(SYS_pread64, readable, before, length, at) : 0;
        if (readable < 0 || had < 0) abort();
        syscall(SYS_close, readable);
        pthread_mutex_lock(&keeping);
        *one = (struct unsynced){ about.st_dev, about.st_ino, at, about.st_size, (size_t)had, before, ++written, unsynced };
        unsynced = one;
        pthread_mutex_unlock(&keeping);
    }
    errno = saved;
}

/* After a sync: forgets what it made durable, that is, what was written up to `number`; or takes back what is not durable. */
static void settle(int file, unsigned long number, int is_durable) {
    int saved = errno;
    struct stat about;
    if (is_unlucky(file) && fstat(file, &about) == 0) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        int writable = is_durable ? -1 : (int)syscall(SYS_openat, AT_FDCWD, link, O_WRONLY);
        if (!is_durable && writable < 0) abort();
        pthread_mutex_lock(&keeping);
        for (struct unsynced **place = &unsynced; *place;) {
            struct unsynced *one = *place;
            if (one->device != about.st_dev || one->inode != about.st_ino || one->number > number) { place = &one->older; continue; }
            if (!is_durable) {
                if (one->length > 0) syscall(SYS_pwrite64, writable, one->before, one->length, one->at);
                if (fstat(file, &about) == 0 && about.st_size > one->end) syscall(SYS_ftruncate, writable, one->end);
            }
            *place = one->older;
            free(one->before);
            free(one);
        }
        pthread_mutex_unlock(&keeping);
        if (writable >= 0) syscall(SYS_close, writable);
    }
    errno = saved;
}

static unsigned long newest(void) { pthread_mutex_lock(&keeping); unsigned long number = written; pthread_mutex_unlock(&keeping); return number; }

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define AROUND(deed, result, call) do { int failed = 0; wants(deed, &failed); if (failed) return -1; result = call; if ((deed) == AFTER) die(); } while (0)

static int synced(int file, const char *call, int (*real)(int)) {
    unsigned long number = newest();
    enum deed deed = step_of(call, file);
    if (deed == ERROR) settle(file, (unsigned long)-1, 0);
    int done; AROUND(deed, done, real(file));
    if (done == 0) settle(file, number, 1);
    return done;
}
int fdatasync(int file) { REAL(fdatasync); return synced(file, "fdatasync", real); }
int fsync(int file) { REAL(fsync); return synced(file, "fsync", real); }
int ftruncate(int file, off_t length) { REAL(ftruncate); int done; enum deed deed = step_of("ftruncate", file); AROUND(deed, done, real(file, length)); return done; }
int ftruncate64(int file, off64_t length) { REAL(ftruncate64); int done; enum deed deed = step_of("ftruncate", file); AROUND(deed, done, real(file, length)); return done; }
int sync_file_range(int file, off64_t from, off64_t length, unsigned flags) {
    REAL(sync_file_range); int done; enum deed deed = step_of("sync_file_range", file); AROUND(deed, done, real(file, from, length, flags)); return done;
}

ssize_t write(int file, const void *bytes, size_t length) {
    REAL(write); ssize_t done; enum deed deed = file > 2 ? step_of("write", file) : NOTHING;
    if (deed == TORN) { real(file, bytes, length / 2); die(); }
    if (file > 2) keep(file, -1, length);
    AROUND(deed, done, real(file, bytes, length)); return done;
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev); ssize_t done; enum deed deed = file > 2 ? step_of("write", file) : NOTHING;
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    if (file > 2) keep(file, -1, length);
    AROUND(deed, done, real(file, parts, count)); return done;
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    REAL(pwrite); ssize_t done; enum deed deed = step_of("write", file);
    if (deed == TORN) { real(file, bytes, length / 2, at); die(); }
    keep(file, at, length);
    AROUND(deed, done, real(file, bytes, length, at)); return done;
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    REAL(pwrite64); ssize_t done; enum deed deed = step_of("write", file);
    if (deed == TORN) { real(file, bytes, length / 2, at); die(); }
    keep(file, at, length);
    AROUND(deed, done, real(file, bytes, length, at)); return done;
}
int rename(const char *from, const char *to) { REAL(rename); int done; enum deed deed = step_at("rename", to); AROUND(deed, done, real(from, to)); return done; }
int unlink(const char *path) { REAL(unlink); int done; enum deed deed = step_at("unlink", path); AROUND(deed, done, real(path)); return done; }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); int done; enum deed deed = step_at("mkdir", path); AROUND(deed, done, real(path, mode)); return done; }
