/* methods: every RPC of runtime.v1, for the server (crid) and the client (ctl). */
#ifndef CRI_METHODS_H
#define CRI_METHODS_H

#include <stdbool.h>

#include "cri/pb.h"

/*
 * X(service, RPC, request, response, stream): request and response are the messages' names
 * as protobuf-c writes them in its symbols; stream: the server answers with any number of
 * messages. The order is proto/cri-services.proto's, and a test keeps both equal.
 */
#define CRI_RPCS(X)                                                                      \
	X(RuntimeService, Version, version_request, version_response, false)             \
	X(RuntimeService, RunPodSandbox, run_pod_sandbox_request,                        \
	  run_pod_sandbox_response, false)                                               \
	X(RuntimeService, StopPodSandbox, stop_pod_sandbox_request,                      \
	  stop_pod_sandbox_response, false)                                              \
	X(RuntimeService, RemovePodSandbox, remove_pod_sandbox_request,                  \
	  remove_pod_sandbox_response, false)                                            \
	X(RuntimeService, PodSandboxStatus, pod_sandbox_status_request,                  \
	  pod_sandbox_status_response, false)                                            \
	X(RuntimeService, ListPodSandbox, list_pod_sandbox_request,                      \
	  list_pod_sandbox_response, false)                                              \
	X(RuntimeService, StreamPodSandboxes, stream_pod_sandboxes_request,              \
	  stream_pod_sandboxes_response, true)                                           \
	X(RuntimeService, CreateContainer, create_container_request,                     \
	  create_container_response, false)                                              \
	X(RuntimeService, StartContainer, start_container_request,                       \
	  start_container_response, false)                                               \
	X(RuntimeService, StopContainer, stop_container_request,                         \
	  stop_container_response, false)                                                \
	X(RuntimeService, RemoveContainer, remove_container_request,                     \
	  remove_container_response, false)                                              \
	X(RuntimeService, ListContainers, list_containers_request,                       \
	  list_containers_response, false)                                               \
	X(RuntimeService, StreamContainers, stream_containers_request,                   \
	  stream_containers_response, true)                                              \
	X(RuntimeService, ContainerStatus, container_status_request,                     \
	  container_status_response, false)                                              \
	X(RuntimeService, UpdateContainerResources, update_container_resources_request,  \
	  update_container_resources_response, false)                                    \
	X(RuntimeService, ReopenContainerLog, reopen_container_log_request,              \
	  reopen_container_log_response, false)                                          \
	X(RuntimeService, ExecSync, exec_sync_request, exec_sync_response, false)        \
	X(RuntimeService, Exec, exec_request, exec_response, false)                      \
	X(RuntimeService, Attach, attach_request, attach_response, false)                \
	X(RuntimeService, PortForward, port_forward_request, port_forward_response,      \
	  false)                                                                         \
	X(RuntimeService, ContainerStats, container_stats_request,                       \
	  container_stats_response, false)                                               \
	X(RuntimeService, ListContainerStats, list_container_stats_request,              \
	  list_container_stats_response, false)                                          \
	X(RuntimeService, StreamContainerStats, stream_container_stats_request,          \
	  stream_container_stats_response, true)                                         \
	X(RuntimeService, PodSandboxStats, pod_sandbox_stats_request,                    \
	  pod_sandbox_stats_response, false)                                             \
	X(RuntimeService, ListPodSandboxStats, list_pod_sandbox_stats_request,           \
	  list_pod_sandbox_stats_response, false)                                        \
	X(RuntimeService, StreamPodSandboxStats, stream_pod_sandbox_stats_request,       \
	  stream_pod_sandbox_stats_response, true)                                       \
	X(RuntimeService, UpdateRuntimeConfig, update_runtime_config_request,            \
	  update_runtime_config_response, false)                                         \
	X(RuntimeService, Status, status_request, status_response, false)                \
	X(RuntimeService, CheckpointContainer, checkpoint_container_request,             \
	  checkpoint_container_response, false)                                          \
	X(RuntimeService, GetContainerEvents, get_events_request,                        \
	  container_event_response, true)                                                \
	X(RuntimeService, ListMetricDescriptors, list_metric_descriptors_request,        \
	  list_metric_descriptors_response, false)                                       \
	X(RuntimeService, ListPodSandboxMetrics, list_pod_sandbox_metrics_request,       \
	  list_pod_sandbox_metrics_response, false)                                      \
	X(RuntimeService, StreamPodSandboxMetrics, stream_pod_sandbox_metrics_request,   \
	  stream_pod_sandbox_metrics_response, true)                                     \
	X(RuntimeService, RuntimeConfig, runtime_config_request,                         \
	  runtime_config_response, false)                                                \
	X(RuntimeService, UpdatePodSandboxResources,                                     \
	  update_pod_sandbox_resources_request, update_pod_sandbox_resources_response,   \
	  false)                                                                         \
	X(ImageService, ListImages, list_images_request, list_images_response, false)    \
	X(ImageService, StreamImages, stream_images_request, stream_images_response,     \
	  true)                                                                          \
	X(ImageService, ImageStatus, image_status_request, image_status_response, false) \
	X(ImageService, PullImage, pull_image_request, pull_image_response, false)       \
	X(ImageService, RemoveImage, remove_image_request, remove_image_response, false) \
	X(ImageService, ImageFsInfo, image_fs_info_request, image_fs_info_response, false)

/* CRI_RPC_Version, ...: an index for tables of handlers. */
#define X(service, rpc, request, response, stream) CRI_RPC_##rpc,
enum cri_rpc { CRI_RPCS(X) CRI_RPC_COUNT };
#undef X

struct cri_method {
	const char *path; /* of HTTP/2: "/runtime.v1.RuntimeService/Version" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	bool stream; /* any number of responses */
};

/* The method of an RPC; rpc < CRI_RPC_COUNT. */
const struct cri_method *cri_method(enum cri_rpc rpc);

/* The last part of the path: "Version". rpc < CRI_RPC_COUNT. */
const char *cri_method_name(enum cri_rpc rpc);

/* The RPC of an HTTP/2 path; CRI_RPC_COUNT if there is none (gRPC UNIMPLEMENTED). */
enum cri_rpc cri_method_find(const char *path);

#endif
