// result<T>: a T, or why there is none. The part of std::expected<T, error_code> that C++20 lacks,
// with its member names.
#pragma once

#include <ice/error.hpp>
#include <optional>
#include <utility>

namespace ice {

template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;

    result(T value) : value_(std::move(value)) {}
    result(error_code error) : error_(error) {}
    result(errc error) : error_(error) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    // Requires: has_value().
    T& operator*() & { return *value_; }
    const T& operator*() const& { return *value_; }
    T&& operator*() && { return std::move(*value_); }
    T* operator->() { return &*value_; }
    const T* operator->() const { return &*value_; }

    // Throws std::system_error with error() if there is no value.
    T& value() & {
        check();
        return *value_;
    }
    const T& value() const& {
        check();
        return *value_;
    }
    T&& value() && {
        check();
        return *std::move(value_);
    }

    template <class U>
    T value_or(U&& other) const& {
        return value_ ? *value_ : static_cast<T>(std::forward<U>(other));
    }

    // No error where there is a value.
    error_code error() const noexcept { return error_; }

private:
    void check() const {
        if (!value_) throw std::system_error(error_);
    }

    std::optional<T> value_;
    error_code error_;
};

}  // namespace ice
