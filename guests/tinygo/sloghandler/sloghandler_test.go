package sloghandler_test

import (
	"log/slog"
	"reflect"
	"testing"

	"edgeplug/edgeplugtest"
	"edgeplug/sloghandler"
)

func TestARecordBecomesOneMessageWithItsAttributesBehindIt(t *testing.T) {
	host := edgeplugtest.New(t)
	logger := slog.New(sloghandler.New(slog.LevelInfo))
	logger.Debug("not heard")
	logger.Info("started", "factor", 2, "unit", "two words")
	logger.With("bus", "i2c-1").WithGroup("sensor").Warn("no answer", "address", 64)
	logger.Error("alone")
	logger.Log(t.Context(), slog.LevelInfo+2, "between", "level", "own", "msg", "own", "time", "own")
	want := []string{
		`info: started factor=2 unit="two words"`,
		`warn: no answer bus=i2c-1 sensor.address=64`,
		`error: alone`,
		`info: between level=own msg=own time=own`,
	}
	if !reflect.DeepEqual(host.Logged, want) {
		t.Errorf("%q, want %q", host.Logged, want)
	}
}
