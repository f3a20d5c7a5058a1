// Package wit_types has the shapes of WIT that Go has none for. Names and methods are those that the generated bindings
// use; it stands in for go.bytecodealliance.org/pkg/wit/types.
package wit_types

// The cases of Option and Result.
const (
	OptionNone = 0
	OptionSome = 1
	ResultOk   = 0
	ResultErr  = 1
)

// Unit is a payload that is not there.
type Unit struct{}

// Tuple2 is a pair.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// Option is a value or none; its zero value is none.
type Option[T any] struct {
	some  bool
	value T
}

// Some is an option with a value.
func Some[T any](value T) Option[T] { return Option[T]{true, value} }

// None is an option without.
func None[T any]() Option[T] { return Option[T]{} }

// Tag is OptionSome or OptionNone.
func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// Some is the value; it panics without one.
func (o Option[T]) Some() T {
	if !o.some {
		panic("an option without a value was asked for it")
	}
	return o.value
}

// Get is the value, and whether there is one.
func (o Option[T]) Get() (T, bool) { return o.value, o.some }

// Result is what came of it, or the error; its zero value is an ok.
type Result[T, E any] struct {
	failed bool
	ok     T
	err    E
}

// Ok is a result that worked.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{ok: value} }

// Err is a result that failed.
func Err[T, E any](value E) Result[T, E] { return Result[T, E]{failed: true, err: value} }

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

// IsErr is whether it failed.
func (r Result[T, E]) IsErr() bool { return r.failed }

// Ok is the value; it panics on a failure.
func (r Result[T, E]) Ok() T {
	if r.failed {
		panic("a failed result was asked for its value")
	}
	return r.ok
}

// Err is the error; it panics on a success.
func (r Result[T, E]) Err() E {
	if !r.failed {
		panic("a result that worked was asked for its error")
	}
	return r.err
}
