// Package firmware is for plugins that install firmware, on a child device or on the device itself: the daemon has
// downloaded and verified the file. Importing it exports the interface.
package firmware

import (
	"errors"
	"io"

	"edgeplug"
)

// The daemon reads no more in one go, in bytes.
const readMax = 1 << 20

// Update is what shall be installed. It is an io.ReaderAt of the file, also later, while the update is deferred; every
// ReadAt asks the daemon, so read by some 64 KiB.
type Update struct {
	// ID names this update for acks.Finish and acks.Progress.
	ID string
	// Device is the unique id of the child device it is meant for, empty for the device itself.
	Device string
	// Name is the file's, without directories.
	Name string
	// Version is as typed at the portal; empty when none was.
	Version string
	// Size is the file's length in bytes.
	Size uint64
	// SHA256 is of its content, 64 hexadecimal digits. The daemon has checked it.
	SHA256 string
}

// ReadAt reads from the file, as io.ReaderAt says.
func (u *Update) ReadAt(buffer []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, errors.New("firmware: the offset is negative")
	}
	total := 0
	for total < len(buffer) {
		piece, err := read(u.ID, uint64(offset)+uint64(total), uint32(min(len(buffer)-total, readMax)))
		if err != nil {
			return total, err
		}
		if len(piece) == 0 {
			return total, io.EOF
		}
		total += copy(buffer[total:], piece)
	}
	return total, nil
}

// Reader reads the file from its beginning.
func (u *Update) Reader() *io.SectionReader { return io.NewSectionReader(u, 0, int64(u.Size)) }

// Updater installs firmware.
type Updater interface {
	// Update is called once for every file. Most answer [edgeplug.Deferred] and end it by acks.Finish.
	Update(update *Update) (edgeplug.Reply, error)
}

// Export says who answers the daemon. Call it in an init function.
func Export(updater Updater) { exported = updater }

var exported Updater
