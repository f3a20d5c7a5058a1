// Package files reads files of the machine, one by one: the manifest asks for exact paths or patterns (`files = [...]`), and
// the operator's policy must also allow them. Paths are absolute.
//
// In a pattern `*` stands for any run of characters and `?` for one character, neither of them for `/`.
package files

import (
	"fmt"
	"io/fs"

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
	return fmt.Sprintf("the file is larger than the %d bytes that are read in one go", e.LimitBytes)
}

// Read is the whole content of a regular file, at most 1 MiB.
func Read(path string) ([]byte, error) { return read(path) }

// ReadAt is part of a regular file: `length` bytes (at most 1 MiB) from `offset` on, fewer at its end, none behind it. It
// is for files that grow.
func ReadAt(path string, offset uint64, length uint32) ([]byte, error) {
	return readAt(path, offset, length)
}

// Find is the granted paths that exist and fit the pattern, ordered, at most 1000.
func Find(pattern string) ([]string, error) { return find(pattern) }
