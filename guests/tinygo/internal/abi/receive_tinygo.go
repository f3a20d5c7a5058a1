//go:build wasm && tinygo

package abi

import "unsafe"

const monotonicClock = 1

//go:wasmimport wasi_snapshot_preview1 clock_time_get
func clockTimeGet(id uint32, precision uint64, now *uint64) uint32

// Nothing may have called the adapter so far. It is called here so that it asks for its memory now.
func init() {
	var now uint64
	clockTimeGet(monotonicClock, 1, &now)
	ready = true
}

// Not `go:wasmexport`: that would start a goroutine, and refuse before the runtime is up.
//
//export cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	return receive(old, oldSize, align, size)
}
