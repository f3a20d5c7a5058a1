package transform

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_types"
	"edgeplug/internal/wit_types"
)

func witProcess(samples []wit.Sample) wit_types.Result[[]wit.Sample, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/transform, but does not call transform.Export in an init function")
	}
	processed, err := exported.Process(convert.SamplesOf(samples))
	if err != nil {
		return convert.Failure[[]wit.Sample](err)
	}
	return wit_types.Ok[[]wit.Sample, string](convert.Samples(processed))
}
