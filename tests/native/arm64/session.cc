// Runs models inside a real ONNX Runtime, for a machine that is only emulated.
//
//   session ONNXRUNTIME LIBRARY LIST
//
// LIST has lines "MODEL OUTPUT [NAME FILE RANK DIM...]...": the bytes of every input come from
// FILE, those of the result y go to OUTPUT.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/ort_abi.h"

namespace {

using namespace squeeze::abi;

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
constexpr Entry<Status*, SessionOptions*, const char*, void**> kRegisterLibrary{29};
constexpr Entry<Status*, const MemoryInfo*, void*, size_t, const int64_t*, size_t, ElementType,
                Value**>
    kCreateTensor{49};
constexpr Entry<Status*, const TensorInfo*, size_t*> kGetCount{64};
constexpr Entry<Status*, int, int, MemoryInfo**> kCreateMemoryInfo{69};

const Api* api;

void Check(Status* status) {
  if (!status) return;
  fprintf(stderr, "%s\n", kGetErrorMessage(api, status));
  exit(1);
}

std::vector<char> Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void RunModel(const Environment* environment, const SessionOptions* options, std::istream& line) {
  std::string model, output;
  line >> model >> output;
  MemoryInfo* memory = nullptr;
  Check(kCreateMemoryInfo(api, 0, 0, &memory));
  std::vector<std::string> names;
  std::vector<std::vector<char>> data;
  std::vector<Value*> values;
  std::string name, path;
  int type;
  size_t rank;
  while (line >> name >> path >> type >> rank) {
    std::vector<int64_t> dims(rank);
    for (int64_t& dim : dims) line >> dim;
    names.push_back(name);
    data.push_back(Bytes(path));
    Check(kCreateTensor(api, memory, data.back().data(), data.back().size(), dims.data(), rank,
                        static_cast<ElementType>(type), &values.emplace_back()));
  }
  std::vector<const char*> inputs;
  for (const std::string& input : names) inputs.push_back(input.c_str());
  Session* session = nullptr;
  Check(kCreateSession(api, environment, model.c_str(), options, &session));
  const char* const outputs[] = {"y"};
  Value* y = nullptr;
  Check(kRun(api, session, nullptr, inputs.data(), values.data(), values.size(), outputs, 1, &y));
  TensorInfo* info = nullptr;
  Check(kGetTensorTypeAndShape(api, y, &info));
  size_t count = 0;
  Check(kGetCount(api, info, &count));
  void* bytes = nullptr;
  Check(kGetTensorMutableData(api, y, &bytes));
  std::ofstream(output, std::ios::binary).write(static_cast<char*>(bytes), count);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  void* runtime = dlopen(argv[1], RTLD_NOW);
  if (!runtime) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  auto* base = reinterpret_cast<const ApiBase* (*)()>(dlsym(runtime, "OrtGetApiBase"))();
  api = base->get_api(kApiVersion);
  Environment* environment = nullptr;
  SessionOptions* options = nullptr;
  void* library = nullptr;
  Check(kCreateEnvironment(api, 3, "session", &environment));
  Check(kCreateSessionOptions(api, &options));
  Check(kSetThreads(api, options, 1));
  Check(kRegisterLibrary(api, options, argv[2], &library));
  std::ifstream list(argv[3]);
  for (std::string text; std::getline(list, text);) {
    std::istringstream line(text);
    RunModel(environment, options, line);
  }
  fflush(stdout);
  _exit(0);  // an emulated runtime takes long to tear down
}
