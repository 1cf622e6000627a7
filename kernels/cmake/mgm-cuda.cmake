# mgm_instantiate(TARGET app DTYPES f32 bf16 f16 DEVICES cuda)
#
# Compiles the CUDA kernels that a program needs, once, and links them to it. The program itself is compiled by g++ or clang: it holds and calls
# models of `Cuda` through declarations. The project must have enabled CUDA: `project(app LANGUAGES CXX CUDA)`. Kernels for one element type are
# compiled once in a project, however many targets ask for them. Other devices need nothing and are accepted for symmetry.
#
# They are compiled for CMAKE_CUDA_ARCHITECTURES; where that is CMake's own guess of an architecture without bf16, for MGM_CUDA_ARCHITECTURES:
# machine code for compute capability 8.0 and 9.0 with its special instructions, and portable code for all that come later.
set(MGM_CUDA_ARCHITECTURES "80;90a-real")

# the folders' families of launchers: kernels/mgm/kernels/instances/<family>.hpp
set(MGM_CUDA_FAMILIES norm gemm attention mining mixture conv elementwise)

# A static library: of its kernels, a program holds the families that it calls.
function(mgm_cuda_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC mgm::mgm)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX POSITION_INDEPENDENT_CODE ON)
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "^[1-7][0-9]$")
    set_target_properties(${name} PROPERTIES CUDA_ARCHITECTURES "${MGM_CUDA_ARCHITECTURES}")
  endif()
endfunction()

# Writes a .cu only when it changes, so that nothing is compiled for a second configuration.
function(mgm_cuda_file path text)
  file(CONFIGURE OUTPUT ${path} CONTENT "${text}" @ONLY)
endfunction()

function(mgm_instantiate)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET" "DTYPES;DEVICES")
  if(NOT TARGET "${arg_TARGET}" OR NOT arg_DTYPES OR NOT arg_DEVICES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mgm_instantiate(TARGET <target> DTYPES <f32|bf16|f16>... DEVICES <cuda|simt|cpu>...): found '${ARGV}'")
  endif()
  foreach(device ${arg_DEVICES})
    if(NOT device MATCHES "^(cuda|simt|cpu)$")
      message(FATAL_ERROR "mgm_instantiate: the device '${device}' is not known; there are cuda, simt, cpu")
    endif()
  endforeach()
  if(NOT "cuda" IN_LIST arg_DEVICES)
    return()
  endif()
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if(NOT "CUDA" IN_LIST languages)
    message(FATAL_ERROR "mgm_instantiate: ${arg_TARGET} needs CUDA, which this project has not enabled; write project(... LANGUAGES CXX CUDA)")
  endif()
  set(folder ${CMAKE_BINARY_DIR}/mgm_cuda)
  if(NOT TARGET mgm_cuda_common)  # CUDA's host side, and what kernels of every type need in float
    mgm_cuda_file(${folder}/runtime.cu "#include <mgm/simt/runtime.hpp>\n")
    mgm_cuda_file(${folder}/elementwise_f32.cu "#include <mgm/kernels/instances/elementwise.hpp>\nMGM_DEFINE_INSTANCES(MGM_ELEMENTWISE)\n")
    mgm_cuda_file(${folder}/untyped.cu "#include <mgm/kernels/instances/untyped.hpp>\nMGM_DEFINE_UNTYPED\n")
    mgm_cuda_library(mgm_cuda_common ${folder}/runtime.cu ${folder}/elementwise_f32.cu ${folder}/untyped.cu)
  endif()
  foreach(dtype ${arg_DTYPES})
    if(NOT dtype MATCHES "^(f32|bf16|f16)$")
      message(FATAL_ERROR "mgm_instantiate: the element type '${dtype}' is not known; there are f32, bf16, f16")
    endif()
    if(NOT TARGET mgm_cuda_${dtype})
      set(files)
      foreach(family ${MGM_CUDA_FAMILIES})
        string(TOUPPER ${family} list)
        if(dtype STREQUAL "f32")
          if(family STREQUAL "elementwise")
            continue()
          endif()
          set(define "MGM_DEFINE_INSTANCES(MGM_${list})")
        else()
          string(REPLACE "f16" "half" type ${dtype})
          string(REPLACE "bhalf" "bf16" type ${type})
          set(define "MGM_DEFINE_INSTANCES_16(MGM_${list}, ${type})")
        endif()
        mgm_cuda_file(${folder}/${family}_${dtype}.cu "#include <mgm/kernels/instances/${family}.hpp>\n${define}\n")
        list(APPEND files ${folder}/${family}_${dtype}.cu)
      endforeach()
      mgm_cuda_library(mgm_cuda_${dtype} ${files})
      target_link_libraries(mgm_cuda_${dtype} PUBLIC mgm_cuda_common)
    endif()
    target_link_libraries(${arg_TARGET} PRIVATE mgm_cuda_${dtype})
  endforeach()
endfunction()
