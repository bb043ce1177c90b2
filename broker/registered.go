package broker

// registered lists every API that is served: one line each, in the order of their keys.
func registered() []api {
	return []api{
		produceAPI(),
		fetchAPI(),
		listOffsetsAPI(),
		metadataAPI(),
		findCoordinatorAPI(),
		apiVersionsAPI(),
		createTopicsAPI(),
		deleteTopicsAPI(),
		deleteRecordsAPI(),
		initProducerIDAPI(),
		describeConfigsAPI(),
		alterConfigsAPI(),
		describeLogDirsAPI(),
		createPartitionsAPI(),
		incrementalAlterConfigsAPI(),
		describeClusterAPI(),
	}
}
