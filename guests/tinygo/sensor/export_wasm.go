package sensor

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_types"
	"edgeplug/internal/wit_types"
)

func witSample() wit_types.Result[[]wit.Sample, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/sensor, but does not call sensor.Export in an init function")
	}
	samples, err := exported.Sample()
	if err != nil {
		return convert.Failure[[]wit.Sample](err)
	}
	return wit_types.Ok[[]wit.Sample, string](convert.Samples(samples))
}
