/* A real file system that shows another folder as NFS does: without working locks.
 *
 * usage: lockless FOLDER none|own MOUNT [FUSE OPTIONS]
 * none: flock(2) and fcntl(2)'s locks fail with ENOLCK, as on NFS without lockd.
 * own: each mount has its own locks, as NFS with local_lock=all: of two hosts neither sees the other one's.
 * Inode numbers are the folder's own. Holes, swaps of names and O_TMPFILE are refused, as by NFS version 3.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static int root;

/* The path relative to the folder: libfuse's begin with a slash. */
static const char *below(const char *path) { return path[1] ? path + 1 : "."; }
static int done(long result) { return result < 0 ? -errno : (int)result; }

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    config->use_ino = 1;
    config->hard_remove = 0; /* an open file that is removed stays as .fuse_hidden…, as .nfs… there */
    return NULL;
}
static int get_attributes(const char *path, struct stat *status, struct fuse_file_info *file) {
    return done(file ? fstat((int)file->fh, status) : fstatat(root, below(path), status, AT_SYMLINK_NOFOLLOW));
}
static int read_link(const char *path, char *text, size_t size) {
    ssize_t length = readlinkat(root, below(path), text, size - 1);
    if (length < 0) return -errno;
    text[length] = 0;
    return 0;
}
static int make_folder(const char *path, mode_t mode) { return done(mkdirat(root, below(path), mode)); }
static int remove_file(const char *path) { return done(unlinkat(root, below(path), 0)); }
static int remove_folder(const char *path) { return done(unlinkat(root, below(path), AT_REMOVEDIR)); }
static int make_node(const char *path, mode_t mode, dev_t device) { return done(mknodat(root, below(path), mode, device)); }
static int make_symlink(const char *target, const char *path) { return done(symlinkat(target, root, below(path))); }
static int make_link(const char *old, const char *path) { return done(linkat(root, below(old), root, below(path), 0)); }
static int move(const char *old, const char *path, unsigned flags) {
    return flags ? -EINVAL : done(renameat(root, below(old), root, below(path)));
}
static int set_mode(const char *path, mode_t mode, struct fuse_file_info *file) {
    return done(file ? fchmod((int)file->fh, mode) : fchmodat(root, below(path), mode, 0));
}
static int set_owner(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *file) {
    return done(file ? fchown((int)file->fh, uid, gid) : fchownat(root, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}
static int set_times(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
    return done(file ? futimens((int)file->fh, times) : utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}
static int set_size(const char *path, off_t size, struct fuse_file_info *file) {
    if (file) return done(ftruncate((int)file->fh, size));
    int fd = openat(root, below(path), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = done(ftruncate(fd, size));
    close(fd);
    return result;
}
static int opened(int fd, struct fuse_file_info *file) {
    if (fd < 0) return -errno;
    file->fh = (uint64_t)fd;
    return 0;
}
static int open_file(const char *path, struct fuse_file_info *file) {
    return opened(openat(root, below(path), (file->flags & ~O_APPEND) | O_CLOEXEC), file);
}
static int create_file(const char *path, mode_t mode, struct fuse_file_info *file) {
    return opened(openat(root, below(path), (file->flags & ~O_APPEND) | O_CREAT | O_CLOEXEC, mode), file);
}
static int read_file(const char *path, char *data, size_t size, off_t at, struct fuse_file_info *file) {
    (void)path;
    return done(pread((int)file->fh, data, size, at));
}
static int write_file(const char *path, const char *data, size_t size, off_t at, struct fuse_file_info *file) {
    (void)path;
    return done(pwrite((int)file->fh, data, size, at));
}
static int sync_file(const char *path, int data_only, struct fuse_file_info *file) {
    (void)path;
    return done(data_only ? fdatasync((int)file->fh) : fsync((int)file->fh));
}
static int close_file(const char *path, struct fuse_file_info *file) {
    (void)path;
    return done(close((int)file->fh));
}
static int list(const char *path, void *names, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *file,
                enum fuse_readdir_flags flags) {
    (void)at, (void)file, (void)flags;
    int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) return -errno;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat status = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};
        if (fill(names, entry->d_name, &status, 0, 0)) break;
    }
    closedir(folder);
    return 0;
}
static int free_space(const char *path, struct statvfs *status) { (void)path; return done(fstatvfs(root, status)); }
static int no_fcntl_locks(const char *path, struct fuse_file_info *file, int command, struct flock *lock) {
    (void)path, (void)file, (void)command, (void)lock;
    return -ENOLCK;
}
static int no_flock(const char *path, struct fuse_file_info *file, int operation) {
    (void)path, (void)file, (void)operation;
    return -ENOLCK;
}

static struct fuse_operations operations = {
    .init = begin, .getattr = get_attributes, .readlink = read_link, .mknod = make_node, .mkdir = make_folder,
    .unlink = remove_file, .rmdir = remove_folder, .symlink = make_symlink, .rename = move, .link = make_link,
    .chmod = set_mode, .chown = set_owner, .truncate = set_size, .utimens = set_times, .open = open_file,
    .create = create_file, .read = read_file, .write = write_file, .fsync = sync_file, .release = close_file,
    .readdir = list, .statfs = free_space, .lock = no_fcntl_locks, .flock = no_flock,
};

int main(int count, char **words) {
    if (count < 4) return fprintf(stderr, "usage: lockless FOLDER none|own MOUNT [FUSE OPTIONS]\n"), 64;
    root = open(words[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return perror(words[1]), 1;
    if (strcmp(words[2], "own") == 0) operations.lock = NULL, operations.flock = NULL;
    umask(0);
    words[2] = words[0];
    return fuse_main(count - 2, words + 2, &operations, NULL);
}
