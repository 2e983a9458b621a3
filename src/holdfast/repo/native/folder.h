/* What the files about folders share: parent.c reads the parent's tree, source.c looks, compares and reads, folder.c is the type. */

#ifndef HOLDFAST_FOLDER_H
#define HOLDFAST_FOLDER_H

#include "holdfast.h"

enum state {
    OUT,    /* not part of the tree: excluded, vanished, or it can't be read */
    READY,  /* its node is written */
    SMALL,  /* to be read by `read` */
    LARGE,  /* to be read by the caller */
    FOLDER, /* its tree is not known yet */
};

struct entry {
    char *name;
    uint16_t name_size;
    uint8_t state;
    bool known; /* the parent has a file, or folder, of this name */
    bool fresh; /* its node lies in the report of the call under way, at `node_at` */
    struct stat stat;
    char *node; /* READY: the node; FOLDER: its attributes */
    size_t node_at, node_size;
    uint8_t subtree[ID_BYTES];
    bool has_subtree; /* FOLDER: the parent's tree of it */
};

struct fault {
    uint32_t entry;
    int error;
    char *attribute; /* NULL: the entry itself; empty: the list of its attributes */
    struct fault *next;
};

struct block { /* texts that live as long as the folder */
    struct block *next;
    char *data;
};

struct folder {
    char *path;
    size_t path_size;
    bool utc;
    struct entry *entries;
    uint32_t count, room;
    struct block *blocks;
    PyObject *old; /* the parent's tree, a bytes object, or NULL */
    pthread_mutex_t mutex;
};

struct folder_object {
    PyObject_HEAD
    struct folder folder;
};

/* What one call found out; turned into Python's terms once the interpreter lock is held again. */
struct report {
    const char *why; /* the reason why the whole call failed */
    uint32_t files, changed, vanished;
    uint64_t bytes;
    struct fault *faults, **last;
    struct string nodes;
    struct clock clock;
};

void start_report(const struct folder *folder, struct report *report);
bool keep_text(struct folder *folder, char *data); /* takes `data` over for the life of the folder, unless it fails */
bool full_path(const struct folder *folder, const struct entry *entry, char *path);
bool new_entry(struct folder *folder, const char *name, const struct stat *stat);
int scan_folder(struct folder *folder, uint32_t *vanished); /* 0, or the errno of what kept it from being listed */
void read_files(struct folder *folder, uint32_t first, uint32_t last, struct writer *writer, struct codec *codec,
                struct report *report);

/* The parent's tree. Its texts point into the JSON. */

struct old_node {
    char *name;
    size_t name_size;
    struct text type, mtime, ctime, content, subtree;
    uint64_t inode, size;
};

struct old_tree {
    struct old_node *nodes;
    size_t count, room;
    struct block *names;
};

int compare_names(const char *a, size_t a_size, const char *b, size_t b_size);
bool is_null(const struct json *json);
bool read_old_tree(struct json json, struct old_tree *tree); /* nodes sorted by name */
void free_old_tree(struct old_tree *tree);

struct match {
    struct index *index;
    bool ignore_ctime, ignore_inode;
};

void match_all(struct folder *folder, const struct match *match, const struct old_tree *tree, struct report *report);

#endif
