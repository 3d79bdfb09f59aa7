// Load for a server that answers each netstring ("5:hello,") with itself.
#include <charconv>
#include <ice/bench.hpp>

struct netstring {
    ice::parsed<std::string_view> parse(std::string_view input) {
        std::size_t size = 0;
        const auto [end, ec] = std::from_chars(input.data(), input.data() + input.size(), size);
        const auto head = static_cast<std::size_t>(end - input.data()) + 1;
        if (input.size() < head + size + 1) return ice::need_more;
        return {input.substr(head, size), head + size + 1};
    }
    void packet(std::string_view text, std::string& out) {
        out.append(std::to_string(text.size())).append(":").append(text).append(",");
    }
};

int main(int argc, char** argv) {
    return ice::bench::run(argc, argv, netstring{}, [](auto n) { return std::to_string(n); });
}
