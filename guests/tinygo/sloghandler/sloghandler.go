// Package sloghandler lets log/slog speak in the daemon's log:
//
//	func init() { slog.SetDefault(slog.New(sloghandler.New(slog.LevelInfo))) }
//
// A record becomes one message with its attributes behind it, as slog.TextHandler writes them. The daemon adds the time
// and the plugin's name. slog's levels between the daemon's count as the lower one, those below slog.LevelDebug as
// trace.
package sloghandler

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"edgeplug/log"
)

// New is a handler that is silent below a level.
func New(level slog.Leveler) slog.Handler {
	written := &buffer{}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, attribute slog.Attr) slog.Attr {
		// The level and the message of the record, which Handle has emptied. An author's own attributes stay.
		_, isLevel := attribute.Value.Any().(slog.Level)
		isMessage := attribute.Key == slog.MessageKey && attribute.Value.String() == ""
		if len(groups) == 0 && (attribute.Key == slog.LevelKey && isLevel || isMessage) {
			return slog.Attr{}
		}
		return attribute
	}}
	return &handler{slog.NewTextHandler(written, options), written}
}

// Holds the attributes of one record.
type buffer struct {
	bytes.Buffer
	mutex sync.Mutex
}

type handler struct {
	// Writes into written.
	attributes slog.Handler
	written    *buffer
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attributes.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	h.written.mutex.Lock()
	defer h.written.mutex.Unlock()
	h.written.Reset()
	message := record.Message
	record.Message, record.Time = "", time.Time{}
	if err := h.attributes.Handle(ctx, record); err != nil {
		return err
	}
	if attributes := strings.TrimSpace(h.written.String()); attributes != "" {
		message += " " + attributes
	}
	log.Log(daemons(record.Level), message)
	return nil
}

func (h *handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &handler{h.attributes.WithAttrs(attributes), h.written}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.attributes.WithGroup(name), h.written}
}

func daemons(level slog.Level) log.Level {
	switch {
	case level < slog.LevelDebug:
		return log.Trace
	case level < slog.LevelInfo:
		return log.Debug
	case level < slog.LevelWarn:
		return log.Info
	case level < slog.LevelError:
		return log.Warn
	}
	return log.Error
}
