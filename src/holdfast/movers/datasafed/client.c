/* `datasafed` in a container that knows nothing of Holdfast: hands its arguments, its DATASAFED_* environment and its open
 * files to the server in a sidecar of the same pod, and ends as that tells.
 *
 * The server's socket lies beside this program. What is sent first: the three standard descriptors with one byte, then the
 * length of the rest (four bytes, big endian) and the rest: every argument and variable as "a" or "e" and its text, each
 * ended by NUL. What comes back, each ended by NUL: "r<path>" or "w<path>" (open that file here and send its descriptor with
 * one byte, or "!<errno>"), "c" (say with one byte that you live), and at the end "x<code>". Linked statically, so that it
 * runs in any image.
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 120
#define SOCKET_NAME "datasafed.sock"

extern char **environ;

static void fail(const char *what, int code)
{
    fprintf(stderr, "Error: datasafed: %s%s%s\n", what, code ? ": " : "", code ? strerror(code) : "");
    exit(1);
}

/* Connect to the sidecar, which may still be starting. */
static int reach(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char own[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length < 0)
        fail("/proc/self/exe", errno);
    own[length] = 0;
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dirname(own), SOCKET_NAME) >= (int)sizeof address.sun_path)
        fail("the path of the socket is too long", 0);
    int handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (handle < 0)
        fail("socket", errno);
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    for (int tries = 0; connect(handle, (struct sockaddr *)&address, sizeof address); tries++) {
        if ((errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN) || tries >= PATIENCE_SECONDS * 50)
            fail("the container that carries out its work can't be reached", errno);
        nanosleep(&pause, NULL);
    }
    return handle;
}

static void send_all(int handle, const void *data, size_t length)
{
    for (const char *at = data; length;) {
        ssize_t sent = send(handle, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fail("the container that carries out its work is gone", errno);
        at += sent, length -= (size_t)sent;
    }
}

/* Send one byte, and descriptors with it. */
static void send_files(int handle, const int *files, size_t count)
{
    union {
        char room[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte = '+';
    struct iovec body = {&byte, 1};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = control.room};
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), files, count * sizeof(int));
    if (sendmsg(handle, &message, MSG_NOSIGNAL) != 1)
        fail("its files can't be handed over", errno);
}

static size_t put(char *room, size_t at, char kind, const char *text)
{
    size_t length = strlen(text);
    if (room) {
        room[at] = kind;
        memcpy(room + at + 1, text, length + 1);
    }
    return at + length + 2;
}

static size_t request(char *room, int count, char **words)
{
    size_t at = 0;
    for (int i = 1; i < count; i++)
        at = put(room, at, 'a', words[i]);
    for (char **variable = environ; *variable; variable++)
        if (!strncmp(*variable, "DATASAFED_", 10))
            at = put(room, at, 'e', *variable);
    return at;
}

static void open_for(int handle, const char *asked)
{
    int writes = asked[0] == 'w';
    int file = open(asked + 1, (writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_CLOEXEC, 0666);
    if (file >= 0) {
        send_files(handle, &file, 1);
        close(file);
    } else {
        char refusal[16];
        send_all(handle, refusal, (size_t)snprintf(refusal, sizeof refusal, "!%d", errno) + 1);
    }
}

/* Read up to the next NUL; returns how much, or ends when the server is gone. */
static void next_answer(int handle, char *answer, size_t room)
{
    for (size_t at = 0; at < room; at++) {
        ssize_t got = read(handle, answer + at, 1);
        if (got < 0 && errno == EINTR) {
            at--;
            continue;
        }
        if (got <= 0)
            fail("the container that carries out its work ended before it was done", 0);
        if (!answer[at])
            return;
    }
    fail("an answer is too long", 0);
}

int main(int count, char **words)
{
    int handle = reach();
    const int standard[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0 && open("/dev/null", O_RDWR) != i)
            fail("a standard descriptor is closed", 0);
    send_files(handle, standard, 3);
    size_t length = request(NULL, count, words);
    char *room = malloc(length + 1);
    if (!room)
        fail("memory", errno);
    request(room, count, words);
    uint8_t size[4] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    send_all(handle, size, sizeof size);
    send_all(handle, room, length);
    free(room);
    for (char answer[PATH_MAX + 2];;) {
        next_answer(handle, answer, sizeof answer);
        if (answer[0] == 'x')
            return atoi(answer + 1);
        if (answer[0] == 'c')
            send_all(handle, "+", 1);
        else
            open_for(handle, answer);
    }
}
