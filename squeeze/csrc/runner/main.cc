// Runs one model on a device that squeeze talks to from outside, in the ONNX Runtime that lies
// there.
//
//   squeeze_runner ONNXRUNTIME FOLDER [LIBRARY]
//
// FOLDER has model.onnx, and in `job`, as numbers:
//
//   THREADS BURST RUNS     and for each run, for each input in the order of the model,
//   TYPE RANK DIM...       whose bytes are in <run>.<input>.in
//
// The bytes of outputs go to <run>.<output>.out, and `answer` says of each: RUN OUTPUT TYPE RANK
// DIM... With BURST not 0 the first run is made so many times more, after one that does not count;
// what each took in ns is printed. LIBRARY has custom operators.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/ort_abi.h"

namespace {

using namespace squeeze::abi;

struct Allocator;
struct Environment;
struct MemoryInfo;
struct RunOptions;
struct Session;

constexpr Entry<const char*, const Status*> kGetErrorMessage{2};
constexpr Entry<Status*, int, const char*, Environment**> kCreateEnvironment{3};
constexpr Entry<Status*, const Environment*, const char*, const SessionOptions*, Session**>
    kCreateSession{7};
constexpr Entry<Status*, Session*, const RunOptions*, const char* const*, const Value* const*,
                size_t, const char* const*, size_t, Value**>
    kRun{9};
constexpr Entry<Status*, SessionOptions**> kCreateSessionOptions{10};
constexpr Entry<Status*, SessionOptions*, int> kSetThreads{24};
constexpr Entry<Status*, SessionOptions*, int> kSetThreadsBetween{25};
constexpr Entry<Status*, SessionOptions*, const char*, void**> kRegisterLibrary{29};
constexpr Entry<Status*, const Session*, size_t*> kInputCount{30};
constexpr Entry<Status*, const Session*, size_t*> kOutputCount{31};
constexpr Entry<Status*, const Session*, size_t, Allocator*, char**> kInputName{36};
constexpr Entry<Status*, const Session*, size_t, Allocator*, char**> kOutputName{37};
constexpr Entry<Status*, const MemoryInfo*, void*, size_t, const int64_t*, size_t, ElementType,
                Value**>
    kCreateTensor{49};
constexpr Entry<Status*, const TensorInfo*, size_t*> kGetCount{64};
constexpr Entry<Status*, int, int, MemoryInfo**> kCreateMemoryInfo{69};
constexpr Entry<Status*, Allocator**> kDefaultAllocator{78};
constexpr Entry<void, Value*> kReleaseValue{96};

constexpr int kErrorsAlone = 3;  // of the levels of the runtime's log

const Api* api;

[[noreturn]] void Fail(const std::string& why) {
  fprintf(stderr, "squeeze_runner: %s\n", why.c_str());
  exit(1);
}

void Check(Status* status) {
  if (status) Fail(kGetErrorMessage(api, status));
}

// Bytes of one number of the runtime's types; 0 for what is no number.
size_t Size(int type) {
  constexpr size_t kSizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 0, 0, 2};
  return type >= 0 && type < static_cast<int>(std::size(kSizes)) ? kSizes[type] : 0;
}

struct Model {
  Session* session = nullptr;
  MemoryInfo* memory = nullptr;
  std::vector<const char*> inputs, outputs;
};

Model Open(const std::string& folder, int threads, const char* library) {
  Environment* environment = nullptr;
  SessionOptions* options = nullptr;
  Allocator* allocator = nullptr;
  Model model;
  Check(kCreateEnvironment(api, kErrorsAlone, "squeeze", &environment));
  Check(kCreateSessionOptions(api, &options));
  Check(kSetThreads(api, options, threads));
  Check(kSetThreadsBetween(api, options, 1));
  void* loaded = nullptr;
  if (library) Check(kRegisterLibrary(api, options, library, &loaded));
  Check(
      kCreateSession(api, environment, (folder + "/model.onnx").c_str(), options, &model.session));
  Check(kCreateMemoryInfo(api, 0, 0, &model.memory));
  Check(kDefaultAllocator(api, &allocator));
  size_t inputs = 0, outputs = 0;
  Check(kInputCount(api, model.session, &inputs));
  Check(kOutputCount(api, model.session, &outputs));
  char* name = nullptr;
  for (size_t i = 0; i < inputs; ++i) {
    Check(kInputName(api, model.session, i, allocator, &name));
    model.inputs.push_back(name);
  }
  for (size_t i = 0; i < outputs; ++i) {
    Check(kOutputName(api, model.session, i, allocator, &name));
    model.outputs.push_back(name);
  }
  return model;
}

// What one run is given; the bytes stay where they are.
struct Given {
  std::vector<std::vector<char>> bytes;
  std::vector<Value*> values;
};

Given Read(const Model& model, std::istream& job, const std::string& prefix) {
  Given given;
  given.bytes.resize(model.inputs.size());
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    int type = 0;
    size_t rank = 0, bytes = 0;
    job >> type >> rank;
    std::vector<int64_t> dims(job ? rank : 0);
    bytes = Size(type);
    for (int64_t& dim : dims) {
      job >> dim;
      bytes *= static_cast<size_t>(dim);
    }
    std::ifstream file(prefix + std::to_string(i) + ".in", std::ios::binary);
    given.bytes[i] = {std::istreambuf_iterator<char>(file), {}};
    if (!job || given.bytes[i].size() != bytes) {
      Fail(std::string("input '") + model.inputs[i] + "': its bytes are not those of the job");
    }
    Check(kCreateTensor(api, model.memory, given.bytes[i].data(), bytes, dims.data(), dims.size(),
                        static_cast<ElementType>(type), &given.values.emplace_back()));
  }
  return given;
}

std::vector<Value*> Run(const Model& model, const Given& given) {
  std::vector<Value*> found(model.outputs.size());
  Check(kRun(api, model.session, nullptr, model.inputs.data(), given.values.data(),
             given.values.size(), model.outputs.data(), found.size(), found.data()));
  return found;
}

void Write(const Model& model, Value* value, size_t run, size_t output, const std::string& folder,
           std::ostream& answer) {
  TensorInfo* info = nullptr;
  size_t rank = 0, count = 0;
  ElementType type{};
  void* data = nullptr;
  Check(kGetTensorTypeAndShape(api, value, &info));
  Check(kGetTensorElementType(api, info, &type));
  Check(kGetDimensionsCount(api, info, &rank));
  Check(kGetCount(api, info, &count));
  std::vector<int64_t> dims(rank);
  Check(kGetDimensions(api, info, dims.data(), rank));
  const size_t size = Size(static_cast<int>(type));
  if (!size) Fail(std::string("output '") + model.outputs[output] + "' is no tensor of numbers");
  Check(kGetTensorMutableData(api, value, &data));
  answer << run << ' ' << output << ' ' << static_cast<int>(type) << ' ' << rank;
  for (int64_t dim : dims) answer << ' ' << dim;
  answer << '\n';
  std::ofstream(folder + "/" + std::to_string(run) + "." + std::to_string(output) + ".out",
                std::ios::binary)
      .write(static_cast<char*>(data), static_cast<std::streamsize>(count * size));
  kReleaseTensorInfo(api, info);
}

void Burst(const Model& model, const Given& given, int runs) {
  for (int i = -1; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Value*> found = Run(model, given);
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
    for (Value* value : found) kReleaseValue(api, value);
    if (i >= 0) printf("%lld\n", static_cast<long long>(took.count()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    fprintf(stderr, "usage: squeeze_runner ONNXRUNTIME FOLDER [LIBRARY]\n");
    return 2;
  }
  void* runtime = dlopen(argv[1], RTLD_NOW);
  if (!runtime) Fail(dlerror());
  void* entry = dlsym(runtime, "OrtGetApiBase");
  if (!entry) Fail(std::string(argv[1]) + " is no ONNX Runtime");
  api = reinterpret_cast<const ApiBase* (*)()>(entry)()->get_api(kApiVersion);
  if (!api) Fail(std::string(argv[1]) + " is older than 1.17");
  const std::string folder = argv[2];
  std::ifstream job(folder + "/job");
  int threads = 0, burst = 0;
  size_t runs = 0;
  if (!(job >> threads >> burst >> runs)) Fail(folder + "/job cannot be read");
  const Model model = Open(folder, threads, argc == 4 ? argv[3] : nullptr);
  std::ofstream answer(folder + "/answer");
  for (size_t run = 0; run < runs; ++run) {
    const Given given = Read(model, job, folder + "/" + std::to_string(run) + ".");
    const std::vector<Value*> found = Run(model, given);
    for (size_t i = 0; i < found.size(); ++i) Write(model, found[i], run, i, folder, answer);
    for (Value* value : found) kReleaseValue(api, value);
    if (run == 0 && burst > 0) Burst(model, given, burst);
  }
  answer.close();
  if (!answer) Fail(folder + "/answer cannot be written");
  fflush(stdout);
  _exit(0);  // an emulated runtime takes long to tear down
}
