/*
 * Inside of the unpacker.
 *
 * apply*.c put entries into the layer's directory ("upper") so that upper over the view of the
 * layers below ("lower", a read-only overlay mount, or none) looks as if the layer had been
 * unpacked by umoci onto a copy of that view. journal.c keeps entries for later when lower is
 * not known yet. client.c is the parent's side, unpack.c the process.
 */
#ifndef APPLETS_UNPACK_INT_H
#define APPLETS_UNPACK_INT_H

#include <sys/stat.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "unpack.h"
#include "wire/tar.h"

/* --- messages on fd 3: raw, for both ends are the same binary --------------------------------- */

enum unpack_kind {
	MSG_STAGED = 1, /* child: report */
	MSG_DONE,	/* child: report */
	MSG_FAILED,	/* child: err */
	MSG_OPAQUE,	/* child, with a directory's fd: mark it */
	MSG_VIEW	/* parent, with the fd of the layers below */
};

struct unpack_msg {
	enum unpack_kind kind;
	struct unpack_report report;
	struct err err;
};

/* The applet called by a person. Exit status or -1. */
int unpack_by_hand(int argc, char **argv, struct err *err);

/* --- apply ---------------------------------------------------------------------------------- */

/*
 * A directory of the merged view that was looked at. All directories of upper have a node;
 * those that are only in lower get one when a path leads through them.
 */
struct dir {
	struct dir *parent;   /* NULL: the root */
	struct list children; /* of struct dir.sibling */
	struct list sibling;
	char *path;		      /* from the root; "" is the root */
	const char *name;	      /* its last part */
	bool upper;		      /* is in upper */
	bool lower;		      /* lower's directory of this path shows through */
	bool touched;		      /* has been named by the layer, or holds what has */
	bool opaque;		      /* the parent was told to mark it */
	bool now;		      /* gets the time of unpacking */
	struct tar_time mtime, atime; /* else these; set when all is done */
};

struct apply {
	int upper;
	int lower; /* -1: none */
	int sock;
	struct unpack_report *report;
	struct dir *root;
	struct map dirs;    /* path -> struct dir */
	struct map copies;  /* path: upper files that the layer has not named */
	struct map skipped; /* path: device nodes left out, for links to them */
	struct map links;   /* "inode" -> struct names: of lower; see apply_copy.c */
	bool links_known;
	/* the parent of the last entry */
	struct dir *last;
	char *last_name;
	struct dir *fd_dir; /* fd is this directory in upper */
	int fd;
	struct arena keys; /* of copies and skipped */
	struct buf path;   /* scratch */
};

/* Where a regular file's contents come from. */
struct source {
	int dirfd; /* a staged file that is moved, with its metadata, or -1: */
	const char *name;
	int *ret_fd; /* a new file, open for writing */
};

/*
 * upper_taken: the empty directory; lower_taken: see above. The root's metadata are the
 * lower root's. 0 or -1; apply_done in any case.
 */
int apply_init(struct apply *a, int upper_taken, int lower_taken, int sock,
	       struct unpack_report *report, struct err *err);
void apply_done(struct apply *a);

/* Applies an entry. src is for TAR_FILE. Returns 1 if src was used, 0 if not, -1. */
int apply_entry(struct apply *a, const struct tar_entry *e, const struct source *src,
		struct err *err);

/* All entries are applied: the times of directories. 0 or -1. */
int apply_finish(struct apply *a, struct err *err);

/* What is at dir/name of the merged view. */
enum found_kind { FOUND_NOTHING, FOUND_DIR, FOUND_OTHER };
struct found {
	enum found_kind kind;
	struct dir *dir; /* FOUND_DIR */
	bool whiteout;	 /* FOUND_NOTHING: because upper hides it */
	bool upper;	 /* FOUND_OTHER: it is in upper */
	mode_t mode;
};
int apply_look(struct apply *a, struct dir *d, const char *name, struct found *ret,
	       struct err *err);

/*
 * The directory that a path leads to, symlinks followed inside the root. With create, what is
 * missing is made; else *ret is NULL if it is not there. 0 or -1.
 */
int apply_resolve(struct apply *a, const char *path, bool create, struct dir **ret,
		  struct err *err);

/* An fd of d in upper, copying it there if it is only in lower. It stays a's. Or -1. */
int apply_dir_fd(struct apply *a, struct dir *d, struct err *err);

/* dir/name, in scratch memory that the next call overwrites. */
const char *apply_path(struct apply *a, const struct dir *d, const char *name);

/* Makes a node. */
struct dir *apply_add_dir(struct apply *a, struct dir *parent, const char *name);
/* Forgets a node and those below it. */
void apply_drop_dir(struct apply *a, struct dir *d);

/* Removes dir/name from upper, a tree too, and forgets it; what lower has may show again. */
int apply_clear(struct apply *a, struct dir *d, const char *name, struct err *err);

/* Removes dir/name from the merged view. */
int apply_hide(struct apply *a, struct dir *d, const char *name, struct err *err);

/* True if lower has dir/name and shows it through dir; ret_dir: it is a directory. */
bool apply_below(struct apply *a, const struct dir *d, const char *name, bool *ret_dir);

/* Has the parent mark an upper directory, and stops looking below it. */
int apply_opaque(struct apply *a, struct dir *d, struct err *err);

/* ".wh." entries (image-spec: layer.md, Whiteouts). name is without the prefix. */
int apply_whiteout(struct apply *a, struct dir *d, const char *name, struct err *err);
int apply_whiteout_opaque(struct apply *a, struct dir *d, struct err *err);

/* A hard link to a file that is only in lower: copies it to upper, with all its names. */
int apply_copy_up(struct apply *a, struct dir *d, const char *name, struct err *err);
/* Makes lower's directory d in upper; its parent is there. */
int apply_copy_dir(struct apply *a, struct dir *d, struct err *err);
void apply_links_done(struct apply *a);

/* --- metadata ------------------------------------------------------------------------------- */

/*
 * Owner, mode, extended attributes, times of an open file or directory; attributes that are
 * there and not in the entry are removed. Counts what was left out. 0 or -1.
 */
int meta_set(int fd, const struct tar_entry *e, struct unpack_report *report,
	     struct err *err);
/* The same for a symlink or FIFO, by its name in a directory. */
int meta_set_at(int dirfd, const char *name, const struct tar_entry *e,
		struct unpack_report *report, struct err *err);
/* Copies owner, mode and extended attributes; times unless it is a directory. */
int meta_copy(int from, int to, const struct stat *st, struct err *err);
void meta_times(const struct tar_entry *e, struct timespec ret[2]);

/* --- journal -------------------------------------------------------------------------------- */

struct journal {
	int dirfd, fd;	/* the layer's directory; the journal */
	uint64_t files; /* staged so far */
	int shelf;	/* directory of the last staged file */
	uint64_t shelf_no;
	struct buf out;
};

/* Opens "journal" and "staged/" in a directory (borrowed). */
int journal_init(struct journal *j, int dirfd, struct err *err);
void journal_done(struct journal *j);

/* Keeps an entry; for TAR_FILE, *ret_fd is the new staged file. */
int journal_add(struct journal *j, const struct tar_entry *e, int *ret_fd,
		struct err *err);

/* Applies all entries in their order, then removes journal and staged files. */
int journal_replay(struct journal *j, struct apply *a, struct err *err);

#endif
