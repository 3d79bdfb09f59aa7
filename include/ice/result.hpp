// result<T>: a T, or the error that says why there is none. The part of C++23's
// std::expected<T, error_code> that ice needs, with the same member names.
#pragma once

#include <cassert>
#include <ice/error.hpp>
#include <optional>
#include <utility>

namespace ice {

// A result refers to nothing but what T refers to. It is [[nodiscard]], so an error cannot be
// overlooked. The constructors are implicit: a function writes `return value;` or
// `return errc::closed;`, and its caller
//     auto reply = co_await pool.request("time");
//     if (!reply) co_return "no reply: " + reply.error().message();
//     use(*reply);
template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;

    // No value, and the error errc::stopped: nothing has made this result yet. Asio's co_spawn()
    // gives it to a completion handler beside an exception.
    result() : error_(make_error_code(errc::stopped)) {}
    // Moves the value in.
    result(T value) : value_(std::move(value)) {}
    // A result of error_code() has neither a value nor an error, so pass a real one.
    result(error_code error) : error_(error) {}
    result(errc error) : error_(error) {}

    // Whether there is a value. Check it before operator* and operator->.
    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    // The value, unchecked. Valid as long as the result. Of an rvalue it moves the value out.
    // Requires: has_value().
    T& operator*() & {
        assert(has_value());
        return *value_;
    }
    const T& operator*() const& {
        assert(has_value());
        return *value_;
    }
    T&& operator*() && {
        assert(has_value());
        return std::move(*value_);
    }
    T* operator->() {
        assert(has_value());
        return &*value_;
    }
    const T* operator->() const {
        assert(has_value());
        return &*value_;
    }

    // The value, checked. Throws std::system_error with error() if there is none, for callers that
    // treat the error as an exception.
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

    // A copy of the value, or `other` if there is none: `counted.value_or(0)`. It evaluates `other`
    // in both cases.
    template <class U>
    T value_or(U&& other) const& {
        return value_ ? *value_ : static_cast<T>(std::forward<U>(other));
    }

    // The error, or error_code() (no error) if there is a value.
    error_code error() const noexcept { return error_; }

private:
    void check() const {
        if (!value_) throw std::system_error(error_);
    }

    std::optional<T> value_;
    error_code error_;
};

}  // namespace ice
