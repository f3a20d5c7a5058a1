// Package files reads files of the machine, one by one: the manifest asks for exact paths or patterns (`files =
// [...]`), and the operator's policy must also allow them. Paths are absolute.
//
// In a pattern `*` stands for any run of characters and `?` for one character, neither of them for `/`.
//
// Errors are [ErrDenied], in words that say all, or an fs.PathError around [ErrNotFound], a [TooLargeError] or the
// words of the operating system. Use errors.Is and errors.As.
package files

import (
	"errors"
	"io/fs"
	"strconv"

	"edgeplug/internal/reason"
)

var (
	// ErrDenied: the right is missing; the error names the plugin, the path and the file in which to grant it. It is an
	// fs.ErrPermission.
	ErrDenied = reason.Of(fs.ErrPermission, "this file is not granted")
	// ErrNotFound: granted, but there is no such file. It is an fs.ErrNotExist.
	ErrNotFound = reason.Of(fs.ErrNotExist, "there is no such file")
)

// TooLargeError is for a file larger than the daemon reads in one go.
type TooLargeError struct {
	// LimitBytes is the most that it reads.
	LimitBytes uint64
}

func (e *TooLargeError) Error() string {
	return "the file is larger than the " + strconv.FormatUint(e.LimitBytes, 10) + " bytes that are read in one go"
}

// Read is the whole content of a regular file, at most 1 MiB.
func Read(path string) ([]byte, error) {
	content, err := read(path)
	return content, about(path, err)
}

// ReadAt is part of a regular file: `length` bytes (at most 1 MiB) from `offset` on, fewer at its end, none behind it.
// It is for files that grow.
func ReadAt(path string, offset uint64, length uint32) ([]byte, error) {
	content, err := readAt(path, offset, length)
	return content, about(path, err)
}

// Find is the granted paths that exist and fit the pattern, ordered, at most 1000.
func Find(pattern string) ([]string, error) {
	paths, err := find(pattern)
	return paths, about(pattern, err)
}

func about(path string, err error) error {
	if err == nil || errors.Is(err, ErrDenied) {
		return err
	}
	return &fs.PathError{Op: "read", Path: path, Err: err}
}
