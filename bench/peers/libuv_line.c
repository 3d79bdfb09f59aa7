/* A peer: an echo of lines on libuv. Each line is a message; all answers to one read are written
 * at once, with uv_try_write, and what the kernel refuses with uv_write; until that is done nothing
 * more is read. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { LINE = 64 * 1024, INPUT = 64 * 1024 };

static char input[INPUT];              /* one for all: what is read is used before the next read */
static char output[LINE + INPUT + 2];  /* an answer is as long as its line, so all of them fit */

typedef struct {
    uv_tcp_t tcp;  /* first: a handle is its peer */
    uv_write_t write;
    char* unsent;
    char* rest;  /* the start of a line whose end has not come */
    size_t rest_size;
} peer_t;

static void freed(uv_handle_t* handle) {
    peer_t* peer = (peer_t*)handle;
    free(peer->rest);
    free(peer->unsent);
    free(peer);
}

static void end(peer_t* peer) {
    if (!uv_is_closing((uv_handle_t*)peer)) uv_close((uv_handle_t*)peer, freed);
}

static void give_buffer(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer) {
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(input, sizeof input);
}

static void received(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);

static void written(uv_write_t* request, int status) {
    peer_t* peer = (peer_t*)request->handle;
    free(peer->unsent);
    peer->unsent = NULL;
    if (status < 0) end(peer);
    else uv_read_start(request->handle, give_buffer, received);
}

static void send_all(peer_t* peer, size_t size) {
    uv_stream_t* stream = (uv_stream_t*)peer;
    uv_buf_t all = uv_buf_init(output, (unsigned)size);
    int sent = uv_try_write(stream, &all, 1);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) end(peer);
    if (sent < 0 || (size_t)sent == size) return;
    size -= (size_t)sent;
    peer->unsent = malloc(size);
    memcpy(peer->unsent, output + sent, size);
    uv_buf_t left = uv_buf_init(peer->unsent, (unsigned)size);
    uv_read_stop(stream);
    uv_write(&peer->write, stream, &left, 1, written);
}

/* The answer to a line is the line itself. */
static char* answer(char* out, const char* line, size_t size) {
    memcpy(out, line, size);
    memcpy(out + size, "\r\n", 2);
    return out + size + 2;
}

/* One beyond the LF of the first CR LF, or NULL; `before` is the byte that came before `begin`. */
static const char* line_end(const char* begin, const char* stop, char before) {
    const char* lf;
    for (const char* at = begin; at != stop; at = lf + 1) {
        if (!(lf = memchr(at, '\n', (size_t)(stop - at)))) return NULL;
        if ((lf == begin ? before : lf[-1]) == '\r') return lf + 1;
    }
    return NULL;
}

static void keep(peer_t* peer, const char* from, size_t size) {
    peer->rest = realloc(peer->rest, peer->rest_size + size);
    memcpy(peer->rest + peer->rest_size, from, size);
    peer->rest_size += size;
}

static void received(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
    peer_t* peer = (peer_t*)stream;
    (void)buffer;
    if (size < 0) end(peer);
    if (size <= 0) return;
    const char *from = input, *stop = input + size, *next;
    char* out = output;
    if (peer->rest_size) {
        next = line_end(from, stop, peer->rest[peer->rest_size - 1]);
        keep(peer, from, (size_t)((next ? next : stop) - from));
        from = next ? next : stop;
        if (peer->rest_size > LINE + 2) {
            end(peer);
            return;
        }
        if (next) {
            out = answer(out, peer->rest, peer->rest_size - 2);
            free(peer->rest);
            peer->rest = NULL;
            peer->rest_size = 0;
        }
    }
    for (; (next = line_end(from, stop, 0)); from = next)
        out = answer(out, from, (size_t)(next - from) - 2);
    if (from != stop) keep(peer, from, (size_t)(stop - from));
    if (out != output) send_all(peer, (size_t)(out - output));
}

static void connected(uv_stream_t* server, int status) {
    if (status < 0) return;
    peer_t* peer = calloc(1, sizeof *peer);
    uv_tcp_init(server->loop, &peer->tcp);
    if (uv_accept(server, (uv_stream_t*)peer) != 0) {
        end(peer);
        return;
    }
    uv_tcp_nodelay(&peer->tcp, 1);
    uv_read_start((uv_stream_t*)peer, give_buffer, received);
}

static void stop(uv_signal_t* handle, int number) {
    (void)number;
    uv_stop(handle->loop);
}

int main(int argc, char** argv) {
    uv_loop_t* loop = uv_default_loop();
    uv_tcp_t server;
    uv_signal_t signals[2];
    struct sockaddr_in at;
    int size = sizeof at;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; ++i) {
        uv_signal_init(loop, &signals[i]);
        uv_signal_start(&signals[i], stop, i ? SIGINT : SIGTERM);
    }
    uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 9999, &at);
    uv_tcp_init(loop, &server);
    int error = uv_tcp_bind(&server, (const struct sockaddr*)&at, 0);
    if (!error) error = uv_listen((uv_stream_t*)&server, 4096, connected);
    if (!error) error = uv_tcp_getsockname(&server, (struct sockaddr*)&at, &size);
    if (error) {
        fprintf(stderr, "libuv_line: %s\n", uv_strerror(error));
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
