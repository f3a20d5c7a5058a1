// Package state is a little memory that outlives the instance, the daemon and a power cut. Every plugin has its own: at
// most 64 keys of 1 to 128 bytes, and 64 KiB in all, names included.
package state

import "errors"

var (
	// ErrQuota: past the limits above; the error says which. What was there is still there.
	ErrQuota = errors.New("this is more than a plugin may keep")
	// ErrUnavailable: the store cannot be read or written at the moment. What was there is still there.
	ErrUnavailable = errors.New("the store cannot be reached at the moment")
)

// Get is the value of a key: nil when there is no such key, not nil when there is, even if it has no bytes.
func Get(key string) ([]byte, error) { return get(key) }

// Set keeps a value. When there is no error, it is on disk.
func Set(key string, value []byte) error { return set(key, value) }

// Delete forgets a key. A key that is not there is no error.
func Delete(key string) error { return remove(key) }

// Keys is all keys, ordered.
func Keys() ([]string, error) { return keys() }
