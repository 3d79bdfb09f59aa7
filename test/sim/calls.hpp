// calls: the callers of the running function, by their mangled names, for functions of the program
// itself. For builds that are not optimised: others inline many calls.
#pragma once

#include <elf.h>
#include <execinfo.h>
#include <link.h>

#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

namespace calls {

class symbols {
public:
    symbols() {
        std::ifstream in("/proc/self/exe", std::ios::binary);
        file_.assign(std::istreambuf_iterator<char>(in), {});
        const auto& head = at<ElfW(Ehdr)>(0);
        for (std::size_t i = 0; i < head.e_shnum; ++i) {
            const auto& section = at<ElfW(Shdr)>(head.e_shoff + i * sizeof(ElfW(Shdr)));
            if (section.sh_type == SHT_SYMTAB) take(head, section);
        }
    }

    // "" for what is not in this program.
    std::string_view name_of(const void* code) const {
        const std::size_t place = reinterpret_cast<std::size_t>(code) - base();
        auto found = ends_.upper_bound(place);
        return found == ends_.end() || place < found->second.begin ? "" : found->second.name;
    }

private:
    struct function {
        std::size_t begin;
        const char* name;
    };
    template <class T>
    const T& at(std::size_t place) const {
        return *reinterpret_cast<const T*>(file_.data() + place);
    }
    void take(const ElfW(Ehdr) & head, const ElfW(Shdr) & section) {
        const auto& names = at<ElfW(Shdr)>(head.e_shoff + section.sh_link * sizeof(ElfW(Shdr)));
        for (std::size_t i = 0; i < section.sh_size / sizeof(ElfW(Sym)); ++i) {
            const auto& s = at<ElfW(Sym)>(section.sh_offset + i * sizeof(ElfW(Sym)));
            if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_size == 0) continue;
            ends_[s.st_value + s.st_size] = {s.st_value,
                                             file_.data() + names.sh_offset + s.st_name};
        }
    }
    static std::size_t base() {
        std::size_t found = 0;
        const auto first = [](dl_phdr_info* info, std::size_t, void* to) {
            *static_cast<std::size_t*>(to) = info->dlpi_addr;
            return 1;  // of the program itself
        };
        dl_iterate_phdr(first, &found);
        return found;
    }

    std::string file_;
    std::map<std::size_t, function> ends_;  // by their end
};

}  // namespace calls
