/* The parent's tree, as far as comparing needs it: read in place, sorted by name. It may be anybody's, so every step is bounded. */

#include "folder.h"

#include <stdlib.h>
#include <string.h>

int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

static bool take_name(struct old_tree *tree, struct old_node *node, const struct text *text)
{
    node->name = (char *)text->start;
    node->name_size = text->size;
    if (!text->escaped)
        return true;
    struct block *block = malloc(sizeof *block);
    char *name = malloc(text->size + 1);
    if (block == NULL || name == NULL) {
        free(block);
        free(name);
        return false;
    }
    *block = (struct block){tree->names, name};
    tree->names = block;
    ptrdiff_t size = json_unescape(text, name);
    size = size < 0 ? size : unquote_name(name, (size_t)size);
    node->name = name;
    node->name_size = size < 0 ? 0 : (size_t)size;
    return size >= 0;
}

static bool raw_value(struct json *json, struct text *text)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n'))
        json->at++;
    text->start = json->at;
    if (!json_skip(json))
        return false;
    text->size = (size_t)(json->at - text->start);
    return true;
}

bool is_null(const struct json *json)
{
    return json->end - json->at >= 4 && memcmp(json->at, "null", 4) == 0;
}

static bool read_old_node(struct json *json, struct old_tree *tree, struct old_node *node)
{
    bool first = true, more, named = false;
    struct text key, text;
    memset(node, 0, sizeof *node);
    if (!json_eat(json, '{'))
        return false;
    while (json_next_key(json, &first, &more, &key)) {
        bool good;
        if (!more)
            return named;
        if (text_is(&key, "name"))
            good = named = json_string(json, &text) && take_name(tree, node, &text);
        else if (text_is(&key, "type"))
            good = json_string(json, &node->type);
        else if (text_is(&key, "mtime"))
            good = json_string(json, &node->mtime);
        else if (text_is(&key, "ctime"))
            good = json_string(json, &node->ctime);
        else if (text_is(&key, "inode"))
            good = json_number(json, &node->inode);
        else if (text_is(&key, "size"))
            good = json_number(json, &node->size);
        else if (text_is(&key, "content"))
            good = raw_value(json, &node->content);
        else if (text_is(&key, "subtree") && !is_null(json))
            good = json_string(json, &node->subtree);
        else
            good = json_skip(json);
        if (!good)
            return false;
    }
    return false;
}

static int old_by_name(const void *a, const void *b)
{
    const struct old_node *one = a, *two = b;
    return compare_names(one->name, one->name_size, two->name, two->name_size);
}

static bool read_old_nodes(struct json *json, struct old_tree *tree)
{
    bool first = true, more, sorted = true;
    if (is_null(json))
        return json_skip(json);
    if (!json_eat(json, '['))
        return false;
    while (json_next_item(json, &first, &more)) {
        if (!more) {
            if (!sorted)
                qsort(tree->nodes, tree->count, sizeof *tree->nodes, old_by_name);
            return true;
        }
        if (tree->count == tree->room) {
            size_t room = tree->room * 2 + 64;
            struct old_node *nodes = realloc(tree->nodes, room * sizeof *nodes);
            if (nodes == NULL)
                return false;
            tree->nodes = nodes;
            tree->room = room;
        }
        struct old_node *node = &tree->nodes[tree->count];
        if (!read_old_node(json, tree, node))
            return false;
        sorted = sorted && (tree->count == 0 || old_by_name(node - 1, node) < 0);
        tree->count++;
    }
    return false;
}

bool read_old_tree(struct json json, struct old_tree *tree)
{
    bool first = true, more;
    struct text key;
    if (!json_eat(&json, '{'))
        return false;
    while (json_next_key(&json, &first, &more, &key)) {
        if (!more)
            return true;
        if (text_is(&key, "nodes") ? !read_old_nodes(&json, tree) : !json_skip(&json))
            return false;
    }
    return false;
}

void free_old_tree(struct old_tree *tree)
{
    free(tree->nodes);
    for (struct block *block = tree->names, *next; block != NULL; block = next) {
        next = block->next;
        free(block->data);
        free(block);
    }
}
