# The routes and the JSON shapes. tabique_shapes is pure (the unit tests link it
# alone); tabique_routes is the handlers, on the server's http.h.
tabique_room(shapes
  SOURCES shapes_common.c shapes_process.c shapes_container.c shapes_image.c shapes_network.c
          top.c csv.c
  DEPS tabique_base tabique_json cjson
  INCLUDES ${CMAKE_CURRENT_LIST_DIR})

tabique_room(routes
  SOURCES bodies.c routes_common.c routes_filters.c
          routes_containers.c containers_list.c containers_create.c containers_io.c
          containers_stats.c containers_files.c
          routes_exec.c routes_build.c routes_images.c images_list.c progress.c routes_registry.c routes_networks.c routes_volumes.c
          routes_system.c system_info.c system_events.c system_metrics.c openapi.c
          routes_refused.c routes_api.c api_processes.c api_history.c routes_notify.c
  DEPS tabique_http tabique_shapes tabique_base tabique_json cjson
  INCLUDES ${CMAKE_CURRENT_LIST_DIR})

set(openapi_file ${CMAKE_CURRENT_LIST_DIR}/openapi.json)
set_source_files_properties(openapi.c PROPERTIES
  COMPILE_DEFINITIONS OPENAPI_FILE="${openapi_file}"
  OBJECT_DEPENDS ${openapi_file})
