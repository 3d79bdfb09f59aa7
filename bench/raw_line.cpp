// The yardstick for lines: an echo of lines written by hand on epoll. Each line is a message, and
// all answers to what one read brought leave with one send. It uses nothing of ice.
#include <cstring>
#include <string_view>
#include "raw_server.hpp"

constexpr std::size_t LINE = 64 * 1024;     // the longest, without its end: so memory is bounded
char output[LINE + sizeof raw::input + 2];  // an answer is as long as its line, so all of them fit

std::string_view answer(std::string_view line) { return line; }

char* append(char* out, std::string_view line) {
    auto text = answer(line);
    std::memcpy(out, text.data(), text.size());
    out += text.size();
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

// One beyond the LF of the first CR LF, or nullptr. `before` is the byte that came before `begin`.
const char* line_end(const char* begin, const char* end, char before) {
    for (const char* at = begin; at != end;) {
        auto* lf = static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
        if (!lf) break;
        at = lf + 1;
        if ((lf == begin ? before : lf[-1]) == '\r') return at;
    }
    return nullptr;
}

bool readable(raw::connection* peer) {
    auto size = ::recv(peer->fd, raw::input, sizeof raw::input, 0);
    if (size < 0 && errno == EAGAIN) return true;
    if (size <= 0) return false;
    const char* from = raw::input;
    const char* end = raw::input + size;
    char* out = output;
    if (!peer->rest.empty()) {
        auto* next = line_end(from, end, peer->rest.back());
        peer->rest.append(from, next ? next : end);
        from = next ? next : end;
        if (peer->rest.size() > LINE + 2) return false;
        if (next) {
            out = append(out, {peer->rest.data(), peer->rest.size() - 2});
            peer->rest = std::string();  // gives its memory back
        }
    }
    while (auto* next = line_end(from, end, 0)) {
        out = append(out, {from, static_cast<std::size_t>(next - from - 2)});
        from = next;
    }
    if (from != end) peer->rest.assign(from, end);
    return out == output || raw::send(peer, output, static_cast<std::size_t>(out - output));
}

int main(int argc, char** argv) { return raw::serve(argc, argv, readable); }
